"""Boolean dependencies: "(a if b else c)", "(a or b >= 2)" and so on.

Grammar and meaning follow rpm's documentation, "Boolean Dependencies" (docs/manual/boolean_
dependencies.md): every operation in parentheses, one operator within a pair of them, except
`if`/`unless` with `else`; `and`, `or` and `with` may be chained.
"""

import re
from dataclasses import dataclass

from builder.packages.version import Capability

_FLAGS = {"=": "EQ", "==": "EQ", "<": "LT", ">": "GT", "<=": "LE", ">=": "GE"}
_OPERATORS = ("and", "or", "if", "unless", "with", "without")
# A name may hold parentheses of its own, "libc.so.6(GLIBC_2.34)(64bit)", but not begin with one.
_TOKEN = re.compile(r"\s*(\(|\)|[^\s()]+(?:\([^\s()]*\)[^\s()]*)*)")
_OPEN, _CLOSE = "(", ")"
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Operation:
    """`operator` is one of and or if unless with without; `else` is a third operand."""

    operator: str
    operands: tuple["Dependency", ...]

    def __str__(self) -> str:
        first, *rest = map(str, self.operands)
        if self.operator in ("if", "unless") and len(rest) > 1:
            return f"({first} {self.operator} {rest[0]} else {rest[1]})"
        return f"({f' {self.operator} '.join([first, *rest])})"


Dependency = Capability | Operation


def parse(text: str) -> Dependency:
    """Parse a boolean dependency.

    Raises:
        ValueError: it is none.
    """
    tokens = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is no boolean dependency")
        tokens.append(match[1])
        position = match.end()
    tokens.reverse()
    try:
        result = _operand(tokens, 0)
    except IndexError:
        raise ValueError(f"{text!r} ends too early") from None
    if tokens:
        raise ValueError(f"{text!r} goes on after its end")
    return result


def _operand(tokens: list[str], depth: int) -> Dependency:
    token = tokens.pop()
    if token == _CLOSE or depth > _DEEPEST:
        raise ValueError(f"{token!r} has no place here, {depth} levels deep")
    if token != _OPEN:
        if tokens and tokens[-1] in _FLAGS:
            return Capability(token, _FLAGS[tokens.pop()], tokens.pop())
        return Capability(token)
    operands = [_operand(tokens, depth + 1)]
    operator = tokens.pop()
    if operator == _CLOSE:
        return operands[0]
    if operator not in _OPERATORS:
        raise ValueError(f"{operator!r} is no operator")
    operands.append(_operand(tokens, depth + 1))
    while (token := tokens.pop()) != ")":
        if token not in (operator, "else"):
            raise ValueError(f"{token!r} after {operator!r}")
        operands.append(_operand(tokens, depth + 1))
    if operator not in ("and", "or", "with") and len(operands) > (3 if operator[0] in "iu" else 2):
        raise ValueError(f"too many operands of {operator!r}")
    return Operation(operator, tuple(operands))
