"""Time-LLM: forecast time series by reprogramming a frozen language model"""
__version__ = "0.1.0"

import sys

from timellm.addresses import Front

sys.modules[__name__].__class__ = Front   # public names come from their rooms when they are used
