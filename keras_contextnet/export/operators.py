"""Which operators a LiteRT file is made of."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


def litert_operators(path: str | os.PathLike[str]) -> dict[str, int]:
    """Counts the operators of a `.tflite` file, those inside loops and branches included.

    Args:
        path: the file.

    Returns:
        A dict of operator names, most frequent first, to their numbers. Built-in operators have the
        names of TFLite's schema (`FULLY_CONNECTED`); a custom one is `CUSTOM:` and its own name,
        such as `CUSTOM:FlexStridedSlice`.

    Example:

    ```python
    from keras_contextnet.export import litert_operators

    def needs_custom_operators(path):
        return any(name.startswith("CUSTOM") for name in litert_operators(path))
    ```
    """
    from tensorflow.lite.python import schema_py_generated as schema

    names = {
        number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()
    }
    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)

    def name_of(operator: schema.Operator) -> str:
        code = model.OperatorCodes(operator.OpcodeIndex())
        # Old readers' field holds numbers up to 127 only; the newer one is 0 in old files.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        return f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name

    counts: Counter[str] = Counter()
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        counts.update(name_of(graph.Operators(i)) for i in range(graph.OperatorsLength()))
    return dict(counts.most_common())
