"""Handlers as AWS Lambda functions: docs/platforms/aws-lambda.md."""

from __future__ import annotations

from edgeflow_lambda._errors import Refused, Unavailable
from edgeflow_lambda._platform import LambdaPlatform

__all__ = ["LambdaPlatform", "Refused", "Unavailable"]
