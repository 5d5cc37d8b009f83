"""The terms of the page."""

from sftlab.report.blocks import Definition, Glossary, Section
from sftlab.report.sections.material import Material

TERMS = (
    Definition(
        "Gain",
        "Score of the tuned model minus score of its own base on the same items under the same prompts, turned so that "
        "positive is better (for bits per byte: base minus tuned). Both are compared item by item.",
    ),
    Definition(
        "Bits per byte",
        "How many bits the model needs for each byte (UTF-8) of the gold answer, given the prompt. Lower is better. "
        "The unit does not depend on the tokenizer, so model families can be compared; imitating the style of the "
        "reference answers also lowers it.",
    ),
    Definition(
        "Accuracy",
        "Share of items whose gold choice the model finds most likely; 1 is all of them. "
        "Differences are shown in points, hundredths of it.",
    ),
    Definition("Exact match", "Share of items whose freely written answer, once extracted, equals the gold answer."),
    Definition("Unparsed", "Answers from which nothing could be extracted. They count as wrong, so watch this number."),
    Definition(
        "95 % interval",
        "Made by a procedure that covers the true value 95 times in 100. Where it spans zero, the sign of the effect "
        "is not known; the page shows such cells pale.",
    ),
    Definition(
        "Drift in other batches",
        "Standard deviation by which a score moves when its items are computed in other batches or another order, "
        "measured on a tenth of them where models compute in bfloat16. In float32 there is none to speak of; of scores "
        "that a server answered it is not known.",
    ),
    Definition(
        "n",
        "What an interval counts: items for a score; base families (bases, where all are of one family) or the items "
        "of the bases tried for a mean gain; families for a training choice; datasets for a correlation with gain. "
        "Epochs and checkpoints of one run are never counted as separate samples.",
    ),
    Definition(
        "Base, family",
        "The pretrained model a run starts from, and the models made like it. Families, not checkpoints, are the units "
        "from which effects are generalised.",
    ),
    Definition(
        "Weight change",
        "Length of the difference between tuned and base weights divided by the length of the base weights (Frobenius "
        "norms), layer by layer. It accompanies gains; it is not where they come from.",
    ),
    Definition("Depth", "Place of a layer in its model: 0 is the first, 1 the last."),
    Definition(
        "Status",
        "done; failed (it broke, with the reason); unfit (it cannot be computed, for example because no item fits the "
        "context); pending (not run yet).",
    ),
)


def reading(_material: Material) -> Section:
    """How to read the page."""
    return Section("reading", "How to read this", "", (Glossary(TERMS),))
