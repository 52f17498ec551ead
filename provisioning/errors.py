"""The one error family of provisioning: somebody asked for an identity or a certificate that must not be given."""


class ProvisioningError(Exception):
    """A request is refused.

    Attributes:
        code: lower-case dotted, e.g. "birth.quota"; callers and devices branch on it, never on the text.
        message: key, got and expected.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
