"""The few kinds of error a user can cause: one sentence each, with what was got, what is legal, and where."""


class SftlabError(Exception):
    """Anything the user can mend; the command line prints it in one sentence and exits with 2."""


class StudyError(SftlabError):
    """The study file is wrong."""


class DataError(SftlabError):
    """A dataset cannot be read, or does not hold what the study asks of it."""


class BenchmarkError(SftlabError):
    """A benchmark's definition or its items cannot be used."""


class ModelError(SftlabError):
    """A base model, tokenizer, template or adapter cannot be loaded or used."""


class JudgeError(SftlabError):
    """A judge cannot be asked, or has not answered all that it was asked."""


class TrainingError(SftlabError):
    """A run cannot be trained as declared."""


class StoreError(SftlabError):
    """The store cannot be read or written."""
