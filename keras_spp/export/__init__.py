"""TFLite files of models: converting, packing, quantizing, describing and comparing them."""
