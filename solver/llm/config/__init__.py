"""Hugging Face ``config.json``: checked reading, families of architectures, quantisation.

Rooms: ``files`` finds and parses; ``reader`` checks values, by the spellings of ``spelling``; ``language`` finds the
language part and its family; ``families`` is the table of architectures, made of ``attention_rules``, ``hybrid_rules``,
``state_space_rules``, ``searched_rules``, ``windows`` and ``ffn_rules``; ``defaults`` holds what the published
implementations fill in. ``quantization`` reads precision in the words of ``formats``, by the names in ``modules`` and the
patterns of ``expressions``, into a ``scheme``; ``build`` puts an LLM together.
"""
