"""How likely fixed texts are to a model: the vector by which models are compared."""

from sftlab.study.measures.declaration import Measure

LOGLIK = Measure(name="loglik", version=1, of="probe", properties=("log_likelihood",), default=False)
