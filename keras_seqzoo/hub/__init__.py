"""Encoders from elsewhere as Keras layers: TF Hub modules and KerasHub backbones.

A module is a program as well as weights: nothing here is loaded unless a user names it.
"""
