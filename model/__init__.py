"""Everything with weights: models found, loaded, prompted, fused and decoded.

This package knows nothing of editors or of indexes. Only here may torch and
transformers be imported, and only inside functions' modules that need them:
``import model.protocols`` loads neither.
"""
