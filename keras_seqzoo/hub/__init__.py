"""External encoders as Keras layers: TF Hub modules and KerasHub backbones.

A module contains a program as well as weights: nothing is loaded unless a user names it.
"""
