"""Does each method do what its paper claims (`fidelity`), how fast is the app (`speed`), and the README's tables."""
