"""Elementwise functions of a rational number, to 60 decimal digits.

Where a function's value is rational it is exact. The others have irrational values at rational
points other than 0 (Lindemann's theorem; for erf, Siegel and Shidlovskii), so a comparison with a
rational number is never a tie and 60 digits decide it.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from nn2rtl.ir.model import Function

_DIGITS = 60
_GUARD = 10
_ONE = Decimal(1)
_FLAT = 200
"""Beyond it a saturating function differs from its limit by less than 60 digits show."""
_HUGE = 1000
"""Operands of the exponential beyond it count as this one: no quantizer reaches its value."""

MONOTONE = {
    Function.RELU,
    Function.LEAKY_RELU,
    Function.ELU,
    Function.SIGMOID,
    Function.TANH,
    Function.EXP,
    Function.SOFTPLUS,
    Function.SOFTSIGN,
}
"""Functions that never decrease and that have an inverse here (for parameters from 0 on)."""

RATIONAL = {Function.RELU, Function.LEAKY_RELU, Function.ABS, Function.SOFTSIGN}
"""Functions with rational values at rational numbers."""

_LIMITS: dict[Function, tuple[Fraction | None, Fraction | None]] = {
    Function.SIGMOID: (Fraction(0), Fraction(1)),
    Function.TANH: (Fraction(-1), Fraction(1)),
    Function.SOFTSIGN: (Fraction(-1), Fraction(1)),
    Function.EXP: (Fraction(0), None),
    Function.SOFTPLUS: (Fraction(0), None),
}


def limits(function: Function, parameter: Fraction) -> tuple[Fraction | None, Fraction | None]:
    """Bounds that a monotone function approaches but never reaches; None if it has none."""
    if function is Function.ELU:
        return -parameter, None
    return _LIMITS.get(function, (None, None))


def value(function: Function, parameter: Fraction, operand: Fraction) -> Fraction:
    """The function's value.

    Parameters
    ----------
    function : Function
        Which.
    parameter : Fraction
        Its parameter, if it has one.
    operand : Fraction
        Where.
    """
    negative = operand < 0
    match function:
        case Function.RELU:
            return Fraction(0) if negative else operand
        case Function.LEAKY_RELU:
            return parameter * operand if negative else operand
        case Function.ABS:
            return abs(operand)
        case Function.SOFTSIGN:
            return operand / (1 + abs(operand))
        case Function.ELU if not negative:
            return operand
    with localcontext() as context:
        context.prec = _DIGITS + _GUARD
        x = _decimal(operand)
        if function is Function.ERF:
            return Fraction(_erf(x))
        if function in (Function.TANH, Function.SIGMOID, Function.SOFTPLUS):
            return Fraction(_saturating(function, x))
        power = min(max(x, Decimal(-_FLAT)), Decimal(_HUGE)).exp()
        return Fraction(power) if function is Function.EXP else parameter * Fraction(power - 1)


def inverse(function: Function, parameter: Fraction, number: Fraction) -> Fraction:
    """Operand at which a monotone function has a value within its limits.

    For LEAKY_RELU and ELU the parameter, for RELU the number has to be positive where it matters.
    """
    if function is Function.LEAKY_RELU:
        return number if number >= 0 else number / parameter
    if function is Function.SOFTSIGN:
        return number / (1 - abs(number))
    if function is Function.RELU or (function is Function.ELU and number >= 0):
        return number
    with localcontext() as context:
        context.prec = _DIGITS + _GUARD
        y = _decimal(number)
        if function is Function.SIGMOID:
            return Fraction((y / (1 - y)).ln())
        if function is Function.TANH:
            return Fraction(((1 + y) / (1 - y)).ln() / 2)
        if function is Function.EXP:
            return Fraction(y.ln())
        if function is Function.SOFTPLUS:
            return Fraction((y.exp() - 1).ln()) if y < _FLAT else number
        if function is Function.ELU:
            return Fraction((1 + y / _decimal(parameter)).ln())
    raise ValueError(f"{function} has no inverse")


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def _saturating(function: Function, x: Decimal) -> Decimal:
    if function is Function.SOFTPLUS and x > _FLAT:
        return x
    x = min(max(x, Decimal(-_FLAT)), Decimal(_FLAT))
    if function is Function.SOFTPLUS:
        return (1 + x.exp()).ln()
    # The limits are approached, but never reached.
    below_one = 1 - _ONE.scaleb(1 - _DIGITS - _GUARD)
    if function is Function.SIGMOID:
        return min(1 / (1 + (-x).exp()), below_one)
    doubled = (2 * x).exp()
    return max(min((doubled - 1) / (doubled + 1), below_one), -below_one)


def _erf(x: Decimal) -> Decimal:
    """``2 x / sqrt(pi) exp(-x^2) sum (2 x^2)^n / (2n + 1)!!``: all terms have one sign."""
    if abs(x) > 13:  # 1 - erf(13) is below 1e-75
        return _ONE.copy_sign(x)
    square, term, total, n = 2 * x * x, _ONE, _ONE, 0
    while term > total.scaleb(-_DIGITS - _GUARD):
        n += 1
        term *= square / (2 * n + 1)
        total += term
    return 2 * x * (-x * x).exp() * total / _pi().sqrt()


def _pi() -> Decimal:
    """Machin's formula."""

    def arctan(inverse_of: int) -> Decimal:
        power = _ONE / inverse_of
        total, n, sign = power, 1, 1
        while power > Decimal(10) ** (-_DIGITS - 2 * _GUARD):
            power /= inverse_of * inverse_of
            n, sign = n + 2, -sign
            total += sign * power / n
        return total

    return 4 * (4 * arctan(5) - arctan(239))
