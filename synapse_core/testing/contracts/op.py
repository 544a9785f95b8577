"""Contracts of ops: shape rule, reference and kernel must tell the same story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.backends import Executable, NumpyBackend
from synapse_core.errors import ProgramError, ShapeError, SynapseError
from synapse_core.ops import Op, OperandType, StateType, WeightType
from synapse_core.program import records as r
from synapse_core.program.image import aligned_zeros, seal, section_of
from synapse_core.testing.agreement import (
    RELATIVE_TOLERANCE,
    same_bits,
    tolerance_of,
    worst_error,
)
from synapse_core.testing.case import Case
from synapse_core.testing.contracts.contract import Contract, Subject, contract, require
from synapse_core.testing.contracts.native import native_backend
from synapse_core.testing.corpus import corpus
from synapse_core.testing.sample import OpSample


def cases_of(subject: Subject) -> tuple[Case, ...]:
    """Return the cases of the sample, or those of the corpus where it has the op.

    Raises: Skipped when there are none.
    """
    op: Op = subject.thing
    if subject.sample is None:
        known = tuple(case for case in corpus() if op.name in _ops_of(case))
        if known:
            return known
    samples: OpSample | Sequence[OpSample] = subject.needs_sample()
    many = (samples,) if isinstance(samples, OpSample) else tuple(samples)
    return tuple(sample.case(op) for sample in many)


def _ops_of(case: Case) -> set[str]:
    return {node.op for function in case.graph.functions.values() for node in function.nodes}


def _watched(case: Case, op: Op, reference: Any) -> Case:
    """Return the case with another reference for the op."""
    others = tuple(other for other in case.ops if other.name != op.name)
    return attrs.evolve(case, ops=(*others, attrs.evolve(op, reference=reference)))


@contract
def shape_rule_agrees_with_the_reference(subject: Subject) -> None:
    """What `infer` promises is what the reference returns: float32, rows × cols."""
    op: Op = subject.thing

    def reference(call: Any, inputs: Any, options: Any) -> Any:
        made = op.reference(call, inputs, options)
        types = call.output_types()
        require(
            isinstance(made, tuple) and len(made) == len(types),
            f"the shape rule says {len(types)} outputs, the reference returned {_count(made)}",
        )
        for number, (array, type) in enumerate(zip(made, types, strict=True)):
            wanted = (call.count(type.space), type.cols)
            found = getattr(array, "shape", None)
            require(
                found == wanted,
                f"the shape rule says output {number} is {wanted}, the reference made {found}",
            )
            require(
                array.dtype == np.float32,
                f"the reference made output {number} as {array.dtype}, it must be float32",
            )
        return made

    for case in cases_of(subject):
        _watched(case, op, reference).run(NumpyBackend(truth=False))


def _count(made: object) -> str:
    return f"{len(made)}" if isinstance(made, tuple) else f"a {type(made).__name__}"


@contract
def shape_rule_refuses_operands_of_another_kind(subject: Subject) -> None:
    """A state where a tensor or weight belongs, and the reverse, is a ShapeError."""
    op: Op = subject.thing
    for case in cases_of(subject)[:3]:
        types, options = _operands(case, op)
        for number, type in enumerate(types):
            if type is None:
                continue
            wrong = list(types)
            if isinstance(type, StateType):
                wrong[number] = WeightType("wrong", 3, 7)
            else:
                wrong[number] = StateType("wrong", "recurrent", 7)
            try:
                op.infer(wrong, options)
            except ShapeError:
                continue
            except Exception as error:
                said = f"{error.__class__.__name__}: {error}"
                require(False, f"operand {number} as {_kind(wrong[number])}: {said}")
            require(False, f"operand {number} may be {_kind(wrong[number])}; infer must refuse it")


def _operands(case: Case, op: Op) -> tuple[list[OperandType], Any]:
    graph = case.graph
    kinds: list[OperandType] = []
    for function in graph.functions.values():
        for node in function.nodes:
            if node.op == op.name:
                for operand in node.inputs:
                    kinds.append(
                        None
                        if operand is None
                        else operand.type  # a tensor
                        if hasattr(operand, "type")
                        else graph.weights[operand.name].type
                        if operand.name in graph.weights
                        else graph.states[operand.name]
                    )
                return kinds, node.options
    raise AssertionError(f"case {case.name} lacks its op")


def _kind(operand: OperandType) -> str:
    return "a state" if isinstance(operand, StateType) else "a weight (3, 7)"


@contract
def reference_is_deterministic(subject: Subject) -> None:
    """Two runs give the same bits."""
    for case in cases_of(subject):
        backend = NumpyBackend(truth=False)
        same = same_bits(case.run(backend), case.run(backend))
        require(same, f"{case.name}: two runs of the reference differ")


@contract
def reference_leaves_its_inputs_alone(subject: Subject) -> None:
    """Only a state may be written to."""
    op: Op = subject.thing

    def reference(call: Any, inputs: Any, options: Any) -> Any:
        before = [_bytes(value) for value in inputs]
        made = op.reference(call, inputs, options)
        for number, (old, value) in enumerate(zip(before, inputs, strict=True)):
            require(old == _bytes(value), f"input {number} has other numbers after the reference")
            for out in made if isinstance(made, tuple) else ():
                shared = isinstance(value, np.ndarray) and np.shares_memory(out, value)
                require(not shared, f"an output shares memory with input {number}; copy it")
        return made

    for case in cases_of(subject):
        _watched(case, op, reference).run(NumpyBackend(truth=False))


def _bytes(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return value.raw().tobytes() if hasattr(value, "raw") else b""


@contract
def c_kernel_equals_the_reference(subject: Subject) -> None:
    """The kernel in C, compiled here, gives what the reference gives."""
    for case in cases_of(subject):
        backend = native_backend(subject, case)
        error = worst_error(case, backend, NumpyBackend(truth=False))
        bound = max(tolerance_of(case), RELATIVE_TOLERANCE)
        require(
            error <= bound, f"{case.name}: C and numpy differ by {error:.2g}, at most {bound:g}"
        )


@contract
def c_kernel_refuses_operands_of_another_kind(subject: Subject) -> None:
    """Its `check` refuses a record whose operand is missing or of another kind.

    A program comes from outside: what `check` lets pass, `run` must be safe with.
    """
    op: Op = subject.thing
    for case in cases_of(subject)[:3]:
        if _ops_of(case) != {op.name}:
            continue
        backend = native_backend(subject, case)
        executable = case.executable()
        types, options = _operands(case, op)
        for number, type in enumerate(types):
            for word, wrong in _wrong_words(executable.program.image, types, number):
                try:
                    op.infer([*types[:number], wrong, *types[number + 1 :]], options)
                    continue  # the op itself allows it here
                except SynapseError:
                    pass
                image = _with_operand(executable.program.image, number, word)
                program = attrs.evolve(executable.program, image=image)
                shown = "none" if wrong is None else "a weight" if word >> 28 == 2 else "a state"
                try:
                    backend.open(Executable(program, executable.find_op)).close()
                except ProgramError:
                    continue
                said = f"operand {number} is {_name(type)} in the shape rule"
                require(False, f"{said}; the kernel's check accepts {shown} there")


def _name(type: OperandType) -> str:
    return {"TensorType": "a tensor", "WeightType": "a weight", "StateType": "a state"}.get(
        type.__class__.__name__, "none"
    )


def _wrong_words(
    image: np.ndarray, types: Sequence[OperandType], number: int
) -> list[tuple[int, OperandType]]:
    """Return operand words of another kind than operand `number` has, with what infer sees."""
    found: list[tuple[int, OperandType]] = [(0, None)]
    weights = [type for type in types if isinstance(type, WeightType)]
    states = [type for type in types if isinstance(type, StateType)]
    if weights and not isinstance(types[number], WeightType):
        found.append((r.WEIGHT << r.OPERAND_SHIFT, weights[0]))
    if states and not isinstance(types[number], StateType):
        found.append((r.STATE << r.OPERAND_SHIFT, states[0]))
    return found


def _with_operand(image: np.ndarray, number: int, word: int) -> np.ndarray:
    changed = aligned_zeros(image.size)
    changed[:] = image
    first = int(section_of(changed, "ops")[0]["first_operand"])
    section_of(changed, "operands")[first + number] = word
    return seal(changed)


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "op": (
        shape_rule_agrees_with_the_reference,
        shape_rule_refuses_operands_of_another_kind,
        reference_is_deterministic,
        reference_leaves_its_inputs_alone,
        c_kernel_equals_the_reference,
        c_kernel_refuses_operands_of_another_kind,
    )
}
