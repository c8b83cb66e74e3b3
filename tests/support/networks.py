"""What tests compare between networks: parameters, their bits, and the state of the random generator."""


def flatten(layers):
    """Return the weights and biases of layers in one list, without biases that are None."""
    return [parameter for layer in layers for parameter in layer if parameter is not None]


def parameters(network):
    """Return the parameters of a network in one list, as NumPy arrays."""
    return [network.backend.to_numpy(parameter) for parameter in flatten(network.layers)]


def bits(network):
    """Return the bytes of every parameter: equal only if two networks are equal bit for bit."""
    return [parameter.tobytes() for parameter in parameters(network)]


def generator_state(network):
    """Return the state of the generator that a network draws its batches and dropout masks from."""
    return network._generator.bit_generator.state
