"""Fixed texts by which models are compared: the shipped ones, or a column of a file of the user's.

The shipped texts were written for this purpose and are under the licence of the package: short, of several domains
and languages, and in no training set that was made before them.
"""

from sftlab.data.probe.texts import ProbeText, probe_texts, texts_digest

__all__ = ["ProbeText", "probe_texts", "texts_digest"]
