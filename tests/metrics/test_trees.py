"""Trees as lines of text, there and back, and the attachment of their words."""

import pytest
from numpy.random import Generator, default_rng

from selfsup.metrics import Attachment
from selfsup.metrics.trees import Tree, read_tree, write_tree

HEARING = ["A", "hearing", "is", "scheduled", "on", "the", "issue", "today"]
CROSSED = Tree(tuple(HEARING), (2, 4, 4, 0, 7, 7, 2, 4), ("det", "nsubj", "aux", "root", "case", "det", "nmod", "obl"))


def drawn(rng: Generator) -> Tree:
    """A tree of any shape, arcs crossed as they come, and words of all that could be taken for something else."""
    size = int(rng.integers(1, 12))
    order = rng.permutation(size)
    heads = [0] * size
    for number, place in enumerate(order[1:], 1):
        heads[place] = int(order[rng.integers(number)]) + 1
    letters = ["a", "\\", "20;", "+1", "-", " ", "\t", "\u00a0", "\u2028", ":", "root+0", "é", "\\20;"]
    texts = ["".join(rng.choice(letters, rng.integers(1, 5))) for _ in range(2 * size)]
    return Tree(tuple(texts[:size]), tuple(heads), tuple(texts[size:]))


@pytest.mark.parametrize("seed", range(200))
def test_a_tree_comes_back(seed):
    tree = drawn(default_rng(seed))
    assert read_tree(write_tree(tree.words, tree.heads, tree.relations)) == tree


def test_arcs_may_cross():
    line = write_tree(CROSSED.words, CROSSED.heads, CROSSED.relations)
    assert line == "A det+1 hearing nsubj+2 is aux+1 scheduled root+0 on case+2 the det+1 issue nmod-5 today obl-4"
    assert read_tree(line) == CROSSED


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "but 0 fields came"),
        ("We nsubj+1 saw", "but 3 fields came"),
        ("We nsubj saw root+0", "at word 1, but 'nsubj' came"),
        ("We +1 saw root+0", "at word 1, but '\\+1' came"),
        ("We nsubj+01 saw root+0", "at word 1, but 'nsubj\\+01' came"),
        ("We nsubj-1 saw root+0", "for word 1, but 'nsubj-1' leads before it"),
        ("We nsubj+2 saw root+0", "heads from 0 to 2 are wanted, but word 1 has 3"),
        ("We nsubj+1 saw obj-1", "one root is wanted in a tree, but 0 of 2 words"),
        ("We root+0 saw root+0", "one root is wanted in a tree, but 2 of 2 words"),
        ("We a+1 saw b-1 it root+0", "word 1 leads to no root"),
        ("We a+99999999999 saw root+0", "at word 1, but 'a\\+99999999999' came"),
    ],
)
def test_lines_that_are_no_trees_are_refused(line, why):
    with pytest.raises(ValueError, match=why):
        read_tree(line)


@pytest.mark.parametrize(
    ("words", "heads", "relations", "why"),
    [
        (["a"], [0, 1], ["root"], "1 words, 2 heads and 1 relations"),
        (["a", ""], [0, 1], ["root", "x"], "one is empty at place 2"),
        (["a", "b"], [0, 1], ["root", ""], "one is empty at place 2"),
        (["a", "b"], [0, 3], ["root", "x"], "heads from 0 to 2 are wanted, but word 2 has 3"),
        (["a", "b"], [0, 2], ["root", "x"], "word 2 leads to no root"),
        ([], [], [], "one root is wanted"),
    ],
)
def test_what_is_no_tree_is_not_written(words, heads, relations, why):
    with pytest.raises(ValueError, match=why):
        write_tree(words, heads, relations)


GOLD = "We nsubj+1 saw root+0 old amod+1 mills obj-2"


@pytest.mark.parametrize(
    ("line", "unlabelled", "labelled", "tree"),
    [
        (GOLD, 1, 1, 1),
        ("  We nsubj+1\nsaw root+0 old amod+1 mills obj-2 ", 1, 1, 1),
        ("We obj+1 saw root+0 old amod+1 mills obj-2", 1, 3 / 4, 1),
        ("We nsubj+1 saw root+0 old amod-1 mills obj-2", 3 / 4, 3 / 4, 1),
        ("We nsubj+1 saw root+0 new amod+1 mills obj-2", 3 / 4, 3 / 4, 1),  # another word at its place
        ("We nsubj+1 saw root+0 mills obj-1", 1 / 2, 1 / 2, 1),  # the words behind a lost one are elsewhere
        (GOLD + " . punct-3", 1, 1, 1),
        ("We nsubj+1 saw root+0 old amod+1 mills obj", 0, 0, 0),
        ("We nsubj+1 saw root+0 old amod+1 mills root+0", 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_attachment_by_hand(line, unlabelled, labelled, tree):
    figures = Attachment().compute(predictions=[line], references=[GOLD])
    assert figures == {
        "labelled_attachment": labelled, "unlabelled_attachment": unlabelled, "well_formed": tree
    }  # fmt: skip


def test_long_sentences_weigh_more():
    lines = ["Rain nsubj+1 fell root+0", "nonsense"]
    figures = Attachment().compute(predictions=lines, references=[lines[0], GOLD])
    assert figures["labelled_attachment"] == pytest.approx(2 / 6)
    assert figures["well_formed"] == 0.5


@pytest.mark.parametrize("gold", ["We saw", ["a root+0", "b root+0"], ""])
def test_references_that_are_no_tree_are_refused(gold):
    with pytest.raises(ValueError, match=r"^one tree is wanted as reference of example 1, but .* came"):
        Attachment().tallies([GOLD, GOLD], [GOLD, gold])
