"""The samplers of KerasHub by name, and the loop that they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from keras_seqzoo.decoding.recurrent import RecurrentDecoding
    from keras_seqzoo.decoding.transformer import TransformerDecoding

SAMPLERS = ("greedy", "top_k", "top_p", "beam", "contrastive", "random")
_NOT_YET = -1  # marks the slot of a token to come; no token has this id


def make_sampler(name: Any, temperature: float = 1.0, seed: int | None = None) -> Any:
    """Makes a KerasHub sampler.

    Args:
        name: one of `SAMPLERS`: `"top_k"` draws among the 40 likeliest tokens (Radford et al.
            2019), `"top_p"` among the fewest that have 0.9 of the probability together (Holtzman
            et al. 2020), `"beam"` keeps 5 beams, `"contrastive"` has k = 5 and alpha = 0.6 (Su et
            al. 2022), `"random"` draws among all, `"greedy"` takes the likeliest. A
            `keras_hub.samplers.Sampler` is used as it is.
        temperature: divides the scores; below 1, likely tokens become likelier, above 1 less so.
        seed: seed of the draws; a random one by default.

    Raises:
        ValueError: an unknown name, or a temperature that is not above 0.
    """
    from keras_hub import samplers

    if isinstance(name, samplers.Sampler):
        return name
    if name not in SAMPLERS:
        raise ValueError(
            f"`sampler` must be one of {SAMPLERS}, or a keras_hub.samplers.Sampler. "
            f"Received: sampler={name!r}"
        )
    if not isinstance(temperature, (int, float)) or not temperature > 0:
        raise ValueError(
            "`temperature` must be a number above 0; for the likeliest token take "
            f"sampler='greedy'. Received: temperature={temperature!r}"
        )
    if name == "greedy":
        return samplers.GreedySampler(temperature=temperature)
    if name == "beam":
        return samplers.BeamSampler(num_beams=5, temperature=temperature)
    if name == "contrastive":
        return samplers.ContrastiveSampler(k=5, alpha=0.6, temperature=temperature)
    if name == "top_k":
        return samplers.TopKSampler(k=40, temperature=temperature, seed=seed)
    if name == "top_p":
        return samplers.TopPSampler(p=0.9, temperature=temperature, seed=seed)
    return samplers.RandomSampler(temperature=temperature, seed=seed)


def draws_one_by_one(sampler: Any) -> bool:
    """Whether a sampler chooses each token only by its probabilities, so that it can be served.

    The others, beam and contrastive search, run a loop of KerasHub's own. It writes with
    `XlaDynamicUpdateSlice`; only TensorFlow's Python package has a kernel for that.
    """
    from keras_hub import samplers

    return type(sampler).__call__ is samplers.Sampler.__call__


def sample_tokens(
    decoding: TransformerDecoding | RecurrentDecoding,
    sampler: Any,
    features: Any,
    most: tf.Tensor,
    stop_ids: list[int],
) -> tf.Tensor:
    """Generates tokens with a sampler.

    Args:
        decoding: the steps of the model.
        sampler: a `keras_hub.samplers.Sampler`.
        features: the prompts: `token_ids` and `padding_mask`, int32 `(batch, length)`.
        most: int32, most new tokens of a row.
        stop_ids: tokens that end a row; the loop ends when every row has one.

    Returns:
        The new tokens, int32 `(batch, most)`, including any after a stop token; -1 in slots that
        that were never reached.
    """
    length = tf.shape(features["token_ids"])[1]
    batch = tf.shape(features["token_ids"])[0]
    prompt = decoding.begin(features, length + most)

    def step(token_ids: tf.Tensor, cache: Any, index: tf.Tensor) -> tuple[Any, Any, Any]:
        vectors, cache = decoding.extend(token_ids[:, None], cache, index, prompt.weights)
        return decoding.logits(vectors[:, 0]), vectors[:, 0], cache

    empty = tf.fill([batch, most], _NOT_YET)
    if draws_one_by_one(sampler):

        def write(t: tf.Tensor, last: tf.Tensor, new: tf.Tensor, done: Any, cache: Any) -> Any:
            logits, _, cache = step(last, cache, length - 1 + t)
            chosen = sampler.get_next_token(sampler.compute_probabilities(logits))
            chosen = tf.cast(tf.ensure_shape(chosen, [None]), tf.int32)
            new = tf.where(tf.range(most)[None] == t, chosen[:, None], new)
            stops = tf.reduce_any(chosen[:, None] == tf.constant([stop_ids], tf.int32), axis=1)
            return t + 1, chosen, new, done | stops, cache

        last = tf.cast(prompt.token_ids[:, -1], tf.int32)
        state = (tf.constant(0), last, empty, tf.zeros([batch], tf.bool), prompt.cache)
        _, _, new, _, _ = tf.while_loop(
            lambda t, last, new, done, cache: (t < most) & ~tf.reduce_all(done), write, state
        )
        return new

    ids = tf.concat([prompt.token_ids, empty], axis=1)
    hidden = tf.pad(prompt.hidden, [[0, 0], [0, most], [0, 0]])
    # A vector of zeros has no direction to compare; the slots to come are filled before they count.
    hidden = tf.where(tf.range(length + most)[None, :, None] < length, hidden, 1.0)
    ids = sampler(
        next=lambda ids, cache, index: step(ids[:, index - 1], cache, index - 1),
        prompt=ids,
        cache=prompt.cache,
        index=length,
        mask=tf.tile(tf.range(length + most)[None] < length, [batch, 1]),
        stop_token_ids=stop_ids or None,
        hidden_states=hidden,
    )
    return tf.cast(ids[:, length:], tf.int32)


def seed_of(sampler: Any) -> keras.Variable | None:
    """Returns the variable that a sampler's draws depend on; None if it draws nothing."""
    generator = getattr(sampler, "seed_generator", None)
    return None if generator is None else generator.state
