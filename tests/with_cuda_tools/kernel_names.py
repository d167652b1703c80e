"""The kernels of the CUDA module, with the names that profilers show."""

DTYPES = ("Float16", "BFloat16", "float", "double")
BYTES = {"Float16": 2, "BFloat16": 2, "float": 4, "double": 8}
# For each family the numbers of terms that have a kernel of their own at order 0.
FAMILIES = {"GaussianMixture": (1, 3), "Sigmoid": (1,)}
# Template arguments: whether the charge comes first, the reset (none, subtract, zero), whether its spike is detached.
RULES = [
    f"StaticRule<{charge_first}, (Reset){reset}, {detached}>"
    for charge_first in ("true", "false")
    for reset, detached in ((0, "false"), (1, "false"), (1, "true"), (2, "false"), (2, "true"))
]
DEFAULT_RULE = "StaticRule<true, (Reset)1, false>"
# (neurons a thread, steps at a time).
FORWARD_FORMS = {
    dtype: ((1, 16), (2, 8)) if dtype == "double" else ((1, 16), (1, 32), (2, 16), (4, 4)) for dtype in DTYPES
}
COTANGENT_FORMS = {"float": ((1, 16), (2, 8), (4, 4)), "BFloat16": ((1, 16), (4, 4))}


def of_every_type(kernel, *arguments):
    return {f"{kernel}<{', '.join((dtype, *more))}>" for dtype in DTYPES for more in arguments}


def forward_kernel(dtype, form, rule=DEFAULT_RULE):
    return f"layer<{dtype}, Lif, Form<{form[0]}, {form[1]}>, {rule}>"


def cotangent_kernel(dtype, form, family="GaussianMixture", rule=DEFAULT_RULE):
    return f"layer_cotangent<{dtype}, Lif, Form<{form[0]}, {form[1]}>, {rule}, {family}>"


SPIKE = of_every_type("spike", ())
GRADIENT = of_every_type(
    "surrogate_gradient", *((family, str(terms)) for family, numbers in FAMILIES.items() for terms in numbers)
)
DERIVATIVE = of_every_type("surrogate_derivative", *((family,) for family in FAMILIES))
ELEMENTWISE = SPIKE | GRADIENT | DERIVATIVE
# {kernel: (dtype, form)} for kernels that know their rule at compile time.
LAYER = {
    forward_kernel(dtype, form, rule): (dtype, form)
    for dtype, forms in FORWARD_FORMS.items()
    for form in forms
    for rule in RULES
    if "true>" not in rule
}
LAYER_COTANGENT = {
    cotangent_kernel(dtype, form, family, rule): (dtype, form)
    for dtype, forms in COTANGENT_FORMS.items()
    for form in forms
    for rule in RULES
    for family in FAMILIES
}
LAYER_ANY = (
    of_every_type("layer_any", ("Lif",))
    | of_every_type("layer_tangent", *(("Lif", family) for family in FAMILIES))
    | of_every_type("layer_cotangent_any", *(("Lif", family) for family in FAMILIES))
)
LIF = LAYER.keys() | LAYER_COTANGENT.keys() | LAYER_ANY
KERNELS = ELEMENTWISE | LIF
