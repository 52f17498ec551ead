"""The one error family of provisioning: an identity or a certificate that must not be given, a board that must not be burned."""


class ProvisioningError(Exception):
    """A request is refused.

    Attributes:
        code: lower-case dotted, e.g. "birth.quota"; callers and devices branch on it, never on the text.
        message: key, got and expected.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
