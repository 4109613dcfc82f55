"""A model as one ONNX file, decoding included, also in 8 bit. Needs the extra ``[export]``."""
