"""Time-LLM: forecast time series by reprogramming a frozen language model"""
__version__ = "0.1.0"

import os
import sys

from timellm.addresses import Front

os.environ.setdefault('USE_TORCH_XLA', 'false')   # before accelerate is imported: a TPU would compile for each prompt length
sys.modules[__name__].__class__ = Front   # public names come from their rooms when they are used
