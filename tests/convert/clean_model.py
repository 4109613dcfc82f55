"""MMPose_Clean's networks under its own names, written from its published layer table."""

from collections import OrderedDict

from torch import nn


class CleanUnit(nn.Module):
    """One inverted residual under MMPose_Clean's names."""

    def __init__(self, cin, cout, stride, expand):
        super().__init__()
        mid = cin * expand
        if expand > 1:
            self.conv, self.bn = nn.Conv2d(cin, mid, 1, bias=False), nn.BatchNorm2d(mid)
        self.dw_conv = nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False)
        self.dw_bn = nn.BatchNorm2d(mid)
        self.pw_conv, self.pw_bn = nn.Conv2d(mid, cout, 1, bias=False), nn.BatchNorm2d(cout)
        self.skip = stride == 1 and cin == cout

    def forward(self, x):
        y = self.bn(self.conv(x)).clamp(0, 6) if hasattr(self, 'conv') else x
        y = self.dw_bn(self.dw_conv(y)).clamp(0, 6)
        y = self.pw_bn(self.pw_conv(y))
        return x + y if self.skip else y


def conv_bn(cin, cout, kernel, stride):
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(cout)))


class CleanModel(nn.Module):
    """MobileNetV2 0.5x with RLE's two linears, written from the published layer table.

    ``simcc``, the input's (width, height), puts the head of SimCC in their place.
    """

    def __init__(self, joints=17, simcc=None):
        super().__init__()
        table = [(1, 8, 1, 1), (6, 16, 2, 2), (6, 16, 3, 2), (6, 32, 4, 2)]
        table += [(6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)]
        self.backbone = nn.ModuleDict({'conv1': conv_bn(3, 16, 3, 2)})
        cin = 16
        for index, (expand, cout, number, stride) in enumerate(table):
            block = nn.ModuleDict()
            for unit in range(1, number + 1):
                block[str(unit)] = CleanUnit(cin, cout, stride if unit == 1 else 1, expand)
                cin = cout
            self.backbone[f'block_{index}'] = block
        self.backbone['conv2'] = conv_bn(cin, 1280, 1, 1)
        if simcc is None:
            layers = {name: nn.Linear(1280, 2 * joints) for name in ('fc_coord', 'fc_sigma')}
        else:
            width, height = simcc
            cells = width * height // 32**2
            layers = {
                'final_layer': nn.Conv2d(1280, joints, 1),
                'mlp_head_x': nn.Linear(cells, 2 * width),
                'mlp_head_y': nn.Linear(cells, 2 * height),
            }
        self.head = nn.ModuleDict(layers)

    def forward(self, x):
        x = self.backbone['conv1'](x).clamp(0, 6)
        for name in sorted(n for n in self.backbone if n.startswith('block')):
            for unit in self.backbone[name].values():
                x = unit(x)
        x = self.backbone['conv2'](x).clamp(0, 6)
        if 'final_layer' in self.head:
            x = self.head['final_layer'](x).flatten(2)
            return self.head['mlp_head_x'](x), self.head['mlp_head_y'](x)
        x = x.mean((2, 3))
        return self.head['fc_coord'](x), self.head['fc_sigma'](x)


def clean_model(simcc=None):
    """Random weights, and batch norm statistics that are not 0 and 1."""
    model = CleanModel(simcc=simcc)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()
