"""Request-level pipelines over unlike machines: each holds a run of layers, tokens flow along any path of them."""
