"""Checkpoints whose pickles are made by hand, opcode by opcode."""

import random
import struct
import zipfile


def forge(path, program):
    """Write a checkpoint with a pickle made by hand, and one storage of 64 bytes, '0'."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('forged/data.pkl', b'\x80\x02' + program + b'.')
        archive.writestr('forged/version', '3\n')
        archive.writestr('forged/byteorder', 'little')
        archive.writestr('forged/data/0', bytes(64))
    return path


# Programs of a pickle. Each leaves one value on the stack.


def text(value):
    return b'X' + struct.pack('<I', len(value.encode())) + value.encode()


def integer(value):
    return b'J' + struct.pack('<i', value)


def named(name):
    return b'c' + '\n'.join(name.rsplit('.', 1)).encode() + b'\n'


def sequence(*items):
    return b'(' + b''.join(items) + b't'


def call(name, *arguments):
    return named(name) + sequence(*arguments) + b'R'


def build(target, state):
    return target + state + b'b'


def raw(data):
    """Bytes, as torch.save writes them."""
    return call('_codecs.encode', text(data.decode('latin1')), text('latin1'))


def keep(number, value):
    return value + b'q' + bytes([number])


def kept(number):
    return b'h' + bytes([number])


NONE, TRUE, FALSE = b'N', b'\x88', b'\x89'


def dtype(code, *flags):
    """numpy's ``dtype``, by default as numpy pickles it; ``flags`` take the last ones' place."""
    state = [integer(3), text('<'), NONE, NONE, NONE, integer(-1), integer(-1), integer(0)]
    if flags:
        state[-len(flags) :] = flags
    return build(call('numpy.dtype', text(code), FALSE, TRUE), sequence(*state))


def new_array():
    return call(
        'numpy.core.multiarray._reconstruct',
        named('numpy.ndarray'),
        sequence(integer(0)),
        raw(b'b'),
    )


def array_state(shape, kind, data):
    return sequence(integer(1), sequence(*map(integer, shape)), kind, FALSE, data)


class Scribbler:
    """Writes random programs, most of them of values that fit together.

    Args:
        seed: the same one writes the same programs.
        names: what a program may name: on the list or not.
    """

    CODES = ('f8', 'i4', 'u1', 'b1', 'c16', 'S3', 'U2', 'U0', 'O8', 'M8', 'V8', '<', '|', 'mean')
    NUMBERS = (0, 1, 2, 3, 8, 64, -1, -8, 255, 65536, 2**31 - 1)

    def __init__(self, seed, names):
        self.random = random.Random(seed)
        self.names = names
        self.memo = 0

    def program(self):
        self.memo = 0
        return sequence(*(self.value(4) for _ in range(self.random.randint(1, 4))))

    def value(self, depth):
        choices = [self.constant, self.constant, self.name, self.again]
        if depth:
            choices += [self.tuple, self.list, self.dict, self.called, self.made, self.built]
            choices += [self.dtype, self.scalar, self.array, self.tensor, self.history] * 2
        value = self.random.choice(choices)(depth - 1)
        if self.memo < 255 and self.random.random() < 0.3:
            value, self.memo = keep(self.memo, value), self.memo + 1
        return value

    def constant(self, _):
        pick = self.random.choice
        data = bytes([self.random.randrange(256)]) * pick((0, 1, 8, 16, 64))
        values = [NONE, TRUE, FALSE, b'G' + bytes(8), raw(data)]
        return pick([*values, integer(pick(self.NUMBERS)), text(pick(self.CODES))])

    def name(self, _):
        return named(self.random.choice(self.names))

    def again(self, _):
        return kept(self.random.randrange(self.memo)) if self.memo else NONE

    def values(self, depth, most=4):
        return [self.value(depth) for _ in range(self.random.randint(0, most))]

    def tuple(self, depth):
        return sequence(*self.values(depth))

    def list(self, depth):
        return b'](' + b''.join(self.values(depth)) + b'e'

    def dict(self, depth):
        entries = (text(f'{n}') + value for n, value in enumerate(self.values(depth)))
        return b'}(' + b''.join(entries) + b'u'

    def called(self, depth):
        return call(self.random.choice(self.names), *self.values(depth))

    def made(self, depth):
        return self.name(depth) + self.tuple(depth) + b'\x81'

    def built(self, depth):
        return build(self.value(depth), self.value(depth))

    def dtype(self, depth):
        flags = [] if self.random.random() < 0.5 else self.values(depth, most=3)
        return dtype(self.random.choice(self.CODES), *flags)

    def scalar(self, depth):
        kind = self.random.choice((self.dtype, self.again))(depth)
        return call('numpy.core.multiarray.scalar', kind, self.constant(depth))

    def array(self, depth):
        start = self.random.choice((lambda _: new_array(), lambda _: new_array(), self.again))
        kind = self.random.choice((self.dtype, self.dtype, self.again))(depth)
        shape = [self.random.choice(self.NUMBERS[:5]) for _ in range(self.random.randint(0, 2))]
        return build(start(depth), array_state(shape, kind, self.constant(depth)))

    def tensor(self, depth):
        if self.random.random() < 0.3:
            source = self.random.choice((self.array, self.again))(depth)
            rebuild = 'torch._utils._rebuild_device_tensor_from_numpy'
            return call(rebuild, source, named('torch.float64'), text('cpu'), FALSE)
        storage = [text('storage'), named('torch.FloatStorage'), text('0'), text('cpu')]
        storage.append(integer(16))
        numbers = [integer(self.random.choice(self.NUMBERS)) for _ in range(3)]
        offset, size, stride = numbers[0], sequence(numbers[1]), sequence(numbers[2])
        hooks = call('collections.OrderedDict')
        rebuild = 'torch._utils._rebuild_tensor_v2'
        return call(rebuild, sequence(*storage) + b'Q', offset, size, stride, FALSE, hooks)

    def history(self, depth):
        start = named('mmengine.logging.history_buffer.HistoryBuffer') + sequence() + b'\x81'
        entries = [text('_log_history'), self.array(depth), text('_count_history')]
        entries += [self.array(depth), text('max_length'), self.constant(depth)]
        entries += [text('statistics_methods'), b'}' + text('mean') + self.value(depth) + b's']
        return build(start, b'}(' + b''.join(entries) + b'u')
