"""Names of models, guides, objectives and their parts, and how a name becomes a class.

Built-in parts stand in one table below; parts of other distributions come from their entry points
(group `ppgm.<kind>`, one `name = "package.module:Class"` each). Listing reads metadata and source
text only, so it never runs a plug-in; `get` imports the one part that was asked for.

The environment variable `PPGM_PLUGINS` limits whose entry points count: `none`, or the names of
the trusted distributions separated by commas. Unset or empty, all installed ones count.
"""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from ppgm.errors import ArgumentError, PluginError, did_you_mean
from ppgm.registry_plugins import Plugin, plugins_of, warn
from ppgm.registry_targets import docstring, is_target, resolve

__all__ = ["KINDS", "Entry", "catalogue", "get", "name_of"]

_BUILT_IN = {
    "models": {
        "vae": "ppgm.models.vae:VAE",
        "factor-analysis": "ppgm.models.factor_analysis:FactorAnalysis",
        "dlgm": "ppgm.models.dlgm:DLGM",
        "dkf": "ppgm.models.dkf:DKF",
        "linear-gaussian-ssm": "ppgm.models.linear_gaussian_ssm:LinearGaussianSSM",
        "hmm": "ppgm.models.hmm:HMM",
        "cvae": "ppgm.models.cvae:CVAE",
        "conditional-net": "ppgm.models.conditional_net:ConditionalNet",
        "sbn": "ppgm.models.sbn:SBN",
        "full-sbn": "ppgm.models.sbn_full:FullSBN",
        "conditional-sbn": "ppgm.models.sbn_conditional:ConditionalSBN",
        "m1": "ppgm.models.m1:M1",
        "m2": "ppgm.models.m2:M2",
        "m1m2": "ppgm.models.m1m2:M1M2",
        "autoencoder": "ppgm.models.autoencoder:Autoencoder",
        "denoising-autoencoder": "ppgm.models.autoencoder:DenoisingAutoencoder",
        "vamp-vae": "ppgm.models.vamp:VampVAE",
        "vq-vae": "ppgm.models.vqvae:VQVAE",
        "generator": "ppgm.models.generator:Generator",
        "rbm": "ppgm.models.rbm:RBM",
        "auto-guided": "ppgm.guides.automatic:AutoGuided",
        "nice": "ppgm.models.nice:NICE",
        "real-nvp": "ppgm.models.real_nvp:RealNVP",
        "maf": "ppgm.models.maf:MAF",
        "nsf": "ppgm.models.spline_flow:NSF",
        "glow": "ppgm.models.glow:Glow",
        "ffjord": "ppgm.models.ffjord:FFJORD",
    },
    "guides": {
        "gaussian": "ppgm.guides.gaussian:Gaussian",
        "low-rank": "ppgm.guides.low_rank:LowRank",
        "rank-one": "ppgm.guides.rank_one:RankOne",
        "full-rank": "ppgm.guides.full_rank:FullRank",
        "householder": "ppgm.guides.householder:Householder",
        "planar": "ppgm.guides.planar:Planar",
        "radial": "ppgm.guides.radial:Radial",
        "sylvester": "ppgm.guides.sylvester:Sylvester",
        "iaf": "ppgm.guides.iaf:IAF",
        "coupling": "ppgm.guides.coupling:Coupling",
        "spline": "ppgm.guides.spline:Spline",
        "zuko-flow": "ppgm.guides.zuko_flow:ZukoFlow",
        "flowjax-flow": "ppgm.guides.flowjax_flow:FlowjaxFlow",
        "mixture": "ppgm.guides.mixture:Mixture",
    },
    "objectives": {
        "elbo": "ppgm.inference.elbo:ELBO",
        "stl": "ppgm.inference.stl:STL",
        "iwae": "ppgm.inference.iwae:IWAE",
        "renyi": "ppgm.inference.renyi:Renyi",
        "fivo": "ppgm.inference.fivo:FIVO",
        "vimco": "ppgm.inference.vimco:VIMCO",
        "rloo": "ppgm.inference.vimco:RLOO",
        "dreg": "ppgm.inference.dreg:DReG",
        "reinforce": "ppgm.inference.score:REINFORCE",
        "nvil": "ppgm.inference.nvil:NVIL",
        "arm": "ppgm.inference.disarm:ARM",
        "disarm": "ppgm.inference.disarm:DisARM",
        "cubo": "ppgm.inference.cubo:CUBO",
        "rws": "ppgm.inference.rws:RWS",
        "wake-sleep": "ppgm.inference.rws:WakeSleep",
        "tvo": "ppgm.inference.tvo:ThermodynamicELBO",
        "enumerate": "ppgm.inference.enumerated:Enumerate",
        "gan": "ppgm.inference.gan:GAN",
        "cd": "ppgm.inference.contrastive:ContrastiveDivergence",
        "semi-supervised": "ppgm.inference.semi_supervised:SemiSupervised",
        "classification": "ppgm.inference.semi_supervised:Classification",
        "reconstruction": "ppgm.inference.reconstruction:Reconstruction",
        "quantisation": "ppgm.inference.reconstruction:Quantisation",
        "sum": "ppgm.inference.objective:Sum",
    },
    "gradients": {
        "path": "ppgm.inference.path:Path",
        "stl": "ppgm.inference.stl:StickTheLanding",
        "dreg": "ppgm.inference.dreg:DoublyReparameterised",
        "score": "ppgm.inference.score:Score",
        "rloo": "ppgm.inference.vimco:LeaveOneOut",
        "vimco": "ppgm.inference.vimco:vimco",
        "nvil": "ppgm.inference.nvil:nvil",
        "disarm": "ppgm.inference.disarm:Antithetic",
        "arm": "ppgm.inference.disarm:arm",
        "gumbel": "ppgm.inference.gumbel:Gumbel",
        "straight-through": "ppgm.inference.gumbel:straight_through",
    },
    "methods": {
        "svi": "ppgm.inference.methods:SVI",
        "nuts": "ppgm.inference.methods:NUTS",
        "hmc": "ppgm.inference.methods:HMC",
        "guide": "ppgm.inference.methods:Guide",
        "importance": "ppgm.inference.methods:Importance",
        "particle-filter": "ppgm.inference.particle_filter:ParticleFilter",
    },
    "likelihoods": {
        "bernoulli": "ppgm.models.likelihoods:Bernoulli",
        "continuous-bernoulli": "ppgm.models.likelihoods:ContinuousBernoulli",
        "gaussian": "ppgm.models.likelihoods:Gaussian",
        "categorical": "ppgm.models.likelihoods:Categorical",
        "poisson": "ppgm.models.likelihoods:Poisson",
        "negative-binomial": "ppgm.models.likelihoods:NegativeBinomial",
        "discretised-logistic": "ppgm.models.likelihoods:DiscretisedLogistic",
    },
    "networks": {
        "mlp": "ppgm.nets:MLP",
        "conv": "ppgm.nets:Conv",
        "deconv": "ppgm.nets:Deconv",
        "conv-map": "ppgm.nets_images:ConvMap",
        "made": "ppgm.nets_masked:MADE",
        "rnn": "ppgm.nets_recurrent:RNN",
        "gru": "ppgm.nets_recurrent:GRU",
        "lstm": "ppgm.nets_recurrent:LSTM",
        "damped": "ppgm.nets_masked:Damped",
    },
    "schedules": {
        "anneal": "ppgm.inference.schedules:Anneal",
    },
    "optimisers": {
        "adam": "ppgm.optimisers:Adam",
        "adamw": "ppgm.optimisers:AdamW",
        "sgd": "ppgm.optimisers:SGD",
        "rmsprop": "ppgm.optimisers:RMSprop",
    },
}

KINDS = tuple(_BUILT_IN)


class Entry(NamedTuple):
    """One part that can be asked for by name.

    Attributes:
        kind: Its kind, one of `KINDS`.
        name: Its name; `distribution:name` where the plain name belongs to another part.
        origin: The distribution that ships it.
        summary: The first line of its docstring, or else its distribution's summary.
        target: Where it is, as `module:attribute`.
    """

    kind: str
    name: str
    origin: str
    summary: str
    target: str


def catalogue(kind: str | None = None) -> list[Entry]:
    """Lists what `get` can find, built-in parts first, without importing any of it."""
    kinds = KINDS if kind is None else (_known_kind(kind),)
    plugins = list(plugins_of(KINDS))

    return [entry for kind in kinds for entry in (*_built_in(kind), *_third_party(kind, plugins))]


def get(kind: str, name: str) -> Any:
    """Imports and returns the part of that kind and name.

    Args:
        kind: One of `KINDS`.
        name: A name from `catalogue(kind)`, or `distribution:name`.

    Raises:
        ArgumentError: There is no such kind or name, or two distributions use the name.
        PluginError: The part belongs to a distribution that is not available or does not load.
    """
    table = _BUILT_IN[_known_kind(kind)]

    return resolve(table[name]) if name in table else _load(_find(kind, name))


def name_of(cls: type) -> tuple[str, str]:
    """Finds the kind and the name under which `get` returns a class.

    The name of a third party's class is `distribution:name`, which stays right when another
    distribution, or a later ppgm, takes the plain name.

    Raises:
        ArgumentError: The class is neither built in nor an entry point.
    """
    for kind, table in _BUILT_IN.items():
        for name, target in table.items():
            if is_target(cls, target):
                return kind, name

    for plugin in plugins_of(KINDS):
        if is_target(cls, plugin.target):
            return plugin.kind, plugin.qualified

    raise ArgumentError(
        f"class {cls.__module__}.{cls.__qualname__} has no name in ppgm: publish it as an entry "
        f"point of one of the groups {', '.join(f'ppgm.{kind}' for kind in KINDS)}, and check "
        f"that PPGM_PLUGINS allows its distribution."
    )


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ArgumentError(
            f"kind {kind!r} is unknown; there are {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
        )
    return kind


def _built_in(kind: str) -> list[Entry]:
    root = Path(__file__).parents[1]
    return [
        Entry(kind, name, "ppgm", docstring(root, target), target)
        for name, target in _BUILT_IN[kind].items()
    ]


def _third_party(kind: str, plugins: list[Plugin]) -> list[Entry]:
    mine = [plugin for plugin in plugins if plugin.kind == kind]
    taken = Counter([*_BUILT_IN[kind], *(plugin.name for plugin in mine)])
    return [_describe(plugin, clash=taken[plugin.name] > 1) for plugin in mine]


def _describe(plugin: Plugin, *, clash: bool) -> Entry:
    if clash:
        warn(
            f"{plugin.kind}: the name {plugin.name!r} of distribution {plugin.origin!r} is also "
            f"used elsewhere; ask for it as {plugin.qualified!r}."
        )
    name = plugin.qualified if clash else plugin.name
    root = Path(str(plugin.distribution.locate_file("")))
    summary = docstring(root, plugin.target) or plugin.distribution.metadata["Summary"] or ""
    return Entry(plugin.kind, name, plugin.origin, _printable(summary), plugin.target)


def _find(kind: str, name: str) -> Plugin:
    plugins = [plugin for plugin in plugins_of(KINDS) if plugin.kind == kind]
    found = [plugin for plugin in plugins if name in (plugin.name, plugin.qualified)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(repr(plugin.qualified) for plugin in found)
        raise ArgumentError(f"{kind}: the name {name!r} is ambiguous: ask for {choices}.")
    if ":" in name:
        raise PluginError(
            f"{kind}: {name!r} belongs to distribution {name.partition(':')[0]!r}, which is not "
            f"installed, not allowed by PPGM_PLUGINS or has no such entry point; install it if "
            f"you trust it."
        )
    known = [*_BUILT_IN[kind], *(plugin.name for plugin in plugins)]
    raise ArgumentError(
        f"{kind}: the name {name!r} is unknown; there are {', '.join(known)}"
        f"{did_you_mean(name, known)}"
    )


def _load(plugin: Plugin) -> Any:
    try:
        value = resolve(plugin.target)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{plugin.kind} {plugin.name!r} of distribution {plugin.origin!r} "
            f"({plugin.target}) does not load: {type(error).__name__}: {error}"
        ) from error

    if not callable(value):
        raise PluginError(
            f"{plugin.kind} {plugin.name!r} of distribution {plugin.origin!r} is "
            f"a {type(value).__name__}: expected a class."
        )
    return value


def _printable(text: str) -> str:
    return "".join(c for c in text.partition("\n")[0] if c.isprintable())
