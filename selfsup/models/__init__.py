"""What the networks are. Importing this room makes Hugging Face's Auto classes know them."""

import transformers

from selfsup.models import text_encoder

for _room in (text_encoder,):
    for _auto, _name in _room._CLASSES.items():
        _class = getattr(_room, _name)
        _class.register_for_auto_class(_auto)  # `save_pretrained` copies the code beside the weights
        if _auto == "AutoConfig":
            transformers.AutoConfig.register(_class.model_type, _class)
        else:
            getattr(transformers, _auto).register(_room.TextEncoderConfig, _class)
