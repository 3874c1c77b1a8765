"""Repairs of Triton 3.6's interpreter: loop bounds under NumPy 2.4, bfloat16 (stored as raw uint16), the order of sums, what
comparisons of two numbers give, and the time that calls inside a kernel and types take."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
import triton.language as tl
from triton.runtime import interpreter

__all__ = ["repair_interpreter"]


def repair_interpreter() -> None:
    patch_tensor = interpreter._patch_lang_tensor

    def patched(tensor: type, scope: Any) -> None:
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patched
    patch_once_a_launch()
    make_types_once()
    builder = interpreter.InterpreterBuilder
    cast = builder.cast_impl

    def cast_impl(self: Any, src: Any, dst_type: Any) -> Any:
        if dst_type.scalar != tl.bfloat16:
            return cast(self, src, dst_type)
        return interpreter.TensorHandle(_to_bfloat16(src.data), tl.bfloat16)

    def create_dot(_self: Any, a: Any, b: Any, d: Any, *_precision: Any) -> Any:
        # One chain over k, as on the device: a BLAS adds in an order that depends on the tile.
        left, right, total = _widened(a), _widened(b), d.data.astype(np.float32)
        for k in range(left.shape[1]):
            total += left[:, k, None] * right[None, k]
        return interpreter.TensorHandle(total, d.dtype.scalar)

    def get_bf16(_self: Any, value: float) -> Any:
        return interpreter.TensorHandle(_to_bfloat16(np.array([value], dtype=np.float32)), tl.bfloat16)

    def create_splat(_self: Any, to: Any, value: Any) -> Any:
        # What two numbers give when they are compared says that it is of their type.
        data = np.ravel(value.data)
        return interpreter.TensorHandle(np.full(to.shape, data[0], dtype=data.dtype), value.dtype.scalar)

    builder.create_splat = create_splat
    builder.cast_impl = cast_impl
    builder.create_dot = create_dot
    builder.get_bf16 = get_bf16


def patch_once_a_launch() -> None:
    """The language is replaced by the interpreter's at each call of a function inside a kernel, which takes 40 % of the time
    of our kernels; the first call of a launch is enough."""
    patch, launch = interpreter._patch_lang, interpreter.GridExecutor.__call__
    replaced: set[str] = set()

    def patch_first(fn: Any) -> Any:
        names = {value.__name__ for value in fn.__globals__.values() if value is tl or value is tl.core}
        if names <= replaced:
            return interpreter._LangPatchScope()
        replaced.update(names)
        return patch(fn)

    def launch_anew(self: Any, *args: Any, **kwargs: Any) -> None:
        replaced.clear()
        launch(self, *args, **kwargs)

    interpreter._patch_lang = patch_first
    interpreter.GridExecutor.__call__ = launch_anew


def make_types_once() -> None:
    """A value of the language makes its type anew, with a name, and its shape as constants: a fifth of the time."""

    @cache
    def shape_and_numel(shape: tuple[int, ...]) -> tuple[Any, Any]:
        return tl.core.tuple([tl.core.constexpr(size) for size in shape]), tl.core.constexpr(math.prod(shape))

    def value(self: Any, handle: Any, type: Any) -> None:
        self.handle, self.type, self.dtype = handle, type, type.scalar
        self.shape, self.numel = shape_and_numel(type.shape if type.is_block() else ())

    block_type, pointer_type = tl.core.block_type, tl.core.pointer_type
    block_type.__hash__ = pointer_type.__hash__ = tl.core.dtype.__hash__  # that of their names
    block_type.with_element_ty = cache(block_type.with_element_ty)
    interpreter.InterpreterBuilder.get_block_ty = cache(interpreter.InterpreterBuilder.get_block_ty)
    interpreter._get_np_dtype = cache(interpreter._get_np_dtype)
    tl.core.tensor.__init__ = value


def _to_bfloat16(data: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, as the interpreter stores it."""
    return torch.from_numpy(data.astype(np.float32)).to(torch.bfloat16).view(torch.uint16).numpy()


def _widened(operand: Any) -> np.ndarray:
    if operand.dtype.scalar == tl.bfloat16:
        return torch.from_numpy(operand.data).view(torch.bfloat16).float().numpy()
    return operand.data.astype(np.float32)
