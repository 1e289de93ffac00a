"""What the networks are. Importing this room makes Hugging Face's Auto classes know them."""

import transformers

from selfsup.models import convnet, encoder_decoder, masked_autoencoder, text_decoder, text_encoder, vit

# A new model: its file, and its name here.
for _room in (text_encoder, text_decoder, encoder_decoder, convnet, vit, masked_autoencoder):
    _classes = {auto: getattr(_room, name) for auto, name in _room.AUTO_CLASSES.items()}
    _config = _classes.pop("AutoConfig")
    _config.register_for_auto_class("AutoConfig")  # so that `save_pretrained` copies the code beside the weights
    transformers.AutoConfig.register(_config.model_type, _config)
    for _auto, _class in _classes.items():
        _class.register_for_auto_class(_auto)
        getattr(transformers, _auto).register(_config, _class)
