"""Checks of constructor arguments that the components share."""


def check_positive(owner: str, **arguments: object) -> None:
    """Check that every argument is an integer of at least 1.

    Parameters
    ----------
    owner : str
        Name of the class or function for the message.
    **arguments
        The values to check, by the name of their parameter.

    Raises
    ------
    TypeError
        If a value is not an integer.
    ValueError
        If a value is less than 1.
    """
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{owner} {name} must be an integer, not {value!r}")
        if value < 1:
            raise ValueError(f"{owner} {name} must be at least 1, not {value!r}")
