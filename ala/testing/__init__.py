"""Check an explainer, a metric, an encoder or a data layout of your own against the contract of its kind.

`check_explainer(MyExplainer)` passes silently, or raises an AssertionError of one sentence that names the check and
what was found. The project's own tests run these functions over everything that its registry knows (tests/conformance).
"""

from ala.testing.encoders import check_encoder
from ala.testing.explainers import check_explainer
from ala.testing.layouts import check_layout
from ala.testing.metrics import check_metric

__all__ = ["check_encoder", "check_explainer", "check_layout", "check_metric"]
