import numpy as np
import pytest

from selfsup.tokenization.segments import frame
from selfsup.tokenization.train import train_tokenizer


def test_frame_by_hand():
    input_ids, token_type_ids = frame([np.array([7, 8], np.uint16), np.array([9], np.uint16)], cls_id=2, sep_id=3)
    assert input_ids.tolist() == [2, 7, 8, 3, 9, 3]
    assert token_type_ids.tolist() == [0, 0, 0, 0, 1, 1]
    assert input_ids.dtype == token_type_ids.dtype == np.int64
    assert frame([np.array([])], cls_id=2, sep_id=3)[0].tolist() == [2, 3]


@pytest.mark.parametrize("segments", [["to be or not"], ["to be", "or not to be"], ["", "to"]])
def test_frame_is_the_tokenizers_own_template(tmp_path, segments):
    tokenizer = train_tokenizer(["to be or not to be"], tmp_path, vocab_size=268)
    ids = [np.array(tokenizer(text, add_special_tokens=False)["input_ids"], np.uint16) for text in segments]
    expected = tokenizer(*segments, return_tensors="np")
    for ours, name in zip(frame(ids, cls_id=2, sep_id=3), ("input_ids", "token_type_ids"), strict=True):
        np.testing.assert_array_equal(ours, expected[name][0], strict=True)


@pytest.mark.parametrize("count", [0, 3])
def test_frame_refuses_other_numbers_of_segments(count):
    with pytest.raises(ValueError, match=f"One or two segments can be framed, but {count} came"):
        frame([np.array([7])] * count, cls_id=2, sep_id=3)
