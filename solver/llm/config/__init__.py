"""Hugging Face ``config.json``: checked reading, families of architectures, quantisation.

Rooms: ``files`` finds and parses, ``reader`` checks values, ``families`` is the table of architectures made of
``attention_rules``, ``hybrid_rules``, ``windows`` and ``ffn_rules``; ``quantization`` reads precision by the names in
``modules``; ``build`` puts an LLM together.
"""
