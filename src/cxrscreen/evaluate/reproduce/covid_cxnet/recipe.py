"""Settings with which the tables of the COVID-CXNet paper are made again: a recipe, and what each row changes."""

import hashlib
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import RecipeError
from cxrscreen.systems.covid_cxnet.recipe import ClassifierRecipe, CovidCxNetRecipe, TransferPhase
from cxrscreen.train.recipe import Settings

WITHOUT = "-without-"
"""Between the name of a variant and the sources that it leaves out, which ``+`` joins."""


class CxNetReproduceRecipe(Settings):
    """The system's own recipe, and what is varied.

    Attributes
    ----------
    system
        ``covid_cxnet``.
    own
        COVID-19 against normal on the lungs alone, with a pre-training or from a published checkpoint of CheXNet. All
        other trainings differ from it in what their name says; they share its pre-training, which sees whole
        radiographs.
    base_model
        The paper's base model in the place of the classifier.
    children
        Sources whose normal images of children version 1 of the base model learns from (Table 1).
    match
        Image to whose histogram the three-class version matches all others.
    three
        Phases of the three-class version.
    imagenet
        Phases of the classifier that keeps ImageNet's features (section 5.2): all frozen, at the rate of own's first
        frozen phase. The one that goes on from ImageNet's weights has own's phases, so that the start alone differs.
    seeds, seed_phases
        Of the range of accuracy over trainings (Table 5): at least two, and short phases.
    shares
        Shares of the training images of the learning curve, falling from 1.
    within
        Source that holds every class: each row is trained once more without it.
    left_out, left_out_three
        Sets of sources that the two-class and the three-class version leave out, one after the other.
    """

    system: Literal["covid_cxnet"] = "covid_cxnet"
    own: CovidCxNetRecipe
    base_model: ClassifierRecipe
    children: tuple[str, ...] = Field(default=("kermany",), min_length=1)
    match: str
    three: tuple[TransferPhase, ...] = Field(min_length=1)
    imagenet: tuple[TransferPhase, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=tuple(range(10)), min_length=2)
    seed_phases: tuple[TransferPhase, ...] = Field(min_length=1)
    shares: tuple[float, ...] = Field(default=(1.0, 0.5, 0.25, 0.1), min_length=2)
    within: str = "cohen"
    left_out: tuple[tuple[str, ...], ...] = Field(min_length=1)
    left_out_three: tuple[tuple[str, ...], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        own = self.own
        if own.classes != "binary" or own.roi != "mask" or own.match is not None:
            raise ValueError("own must be binary with roi mask, and without match")
        if own.pretraining is None and own.classifier.weights in {"none", "imagenet"}:
            raise ValueError("own needs a pretraining, or a published checkpoint of CheXNet at classifier.weights")
        if self.base_model.network != "base" or self.base_model.side != own.classifier.side:
            raise ValueError("base_model must have the network base and the side of own, whose regions it shares")
        if self.shares[0] != 1 or list(self.shares) != sorted(set(self.shares), reverse=True) or self.shares[-1] <= 0:
            raise ValueError("shares must fall from 1.0 and stay above 0")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds must be different numbers from 0 up")
        asked = {self.within, *(source for sources in (*self.left_out, *self.left_out_three) for source in sources)}
        strange = sorted(asked - set(own.data.sources))
        if strange:
            raise ValueError(f"{strange[0]} is not one of own.data.sources, so it cannot be left out")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all settings."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources that any training learns from."""
        return tuple(sorted({*self.whole_sources, *self.children}))

    @property
    def whole_sources(self) -> tuple[str, ...]:
        """Those of which more than the normal images of children is used."""
        pretraining = self.own.pretraining
        return tuple(sorted({*self.own.data.sources, *(pretraining.sources if pretraining is not None else ())}))

    def variant(self, name: str) -> CovidCxNetRecipe:
        """The recipe of a training.

        Parameters
        ----------
        name
            ``own``; ``whole`` and ``box`` (other regions); ``three``; ``base-v1``, ``base-v1-adults`` (the same with
            the normal images of adults) and ``base-v2``; ``imagenet`` and ``imagenet-frozen``; ``share-0.5``;
            ``seed-3``; any of them with ``-without-cohen+hannover``.
        """
        name, _, left_out = name.partition(WITHOUT)
        recipe = _changed(self.own, self._changes(name))
        if left_out:
            recipe = _changed(recipe, {"data": {"left_out": tuple(left_out.split("+"))}})
        # Of all trainings the parts are the same, also where the seed differs.
        return _changed(recipe, {"split_seed": self.own.splitting})

    def pretrained(self, left_out: tuple[str, ...] = ()) -> CovidCxNetRecipe:
        """The recipe whose pre-training the variants share: whole radiographs, without some sources."""
        return _changed(self.variant("whole"), {"data": {"left_out": left_out}})

    def seen_in_pretraining(self, left_out: tuple[str, ...], manifest: Manifest) -> tuple[str, ...]:
        """Those of the sources of whose patients the pre-training would learn, sorted."""
        if self.own.pretraining is None:
            return ()
        group, source = manifest.table["group"], manifest.table["source"]
        learned = set(group[source.isin(self.own.pretraining.sources)])
        return tuple(sorted(name for name in left_out if learned & set(group[source == name])))

    def _changes(self, name: str) -> dict[str, Any]:
        plain = {"roi": "none", "pretraining": None}
        children = {"sources": (*self.own.data.sources, *self.children), "paediatric": "normals"}
        even = self.base_model.model_copy(update={"balance": "batches"})
        fixed: dict[str, dict[str, Any]] = {
            "own": {},
            "whole": {"roi": "none"},
            "box": {"roi": "box"},
            "three": {"classes": "three", "match": self.match, "classifier": {"phases": self.three}},
            "base-v1": plain | {"channels": "original", "data": children, "classifier": even},
            "base-v1-adults": plain | {"channels": "original", "classifier": even},
            "base-v2": plain | {"classifier": self.base_model},
        }
        if name in fixed:
            return fixed[name]
        kind, _, value = name.partition("-")
        if kind == "imagenet":
            if value != "frozen":
                return plain | {"classifier": {"weights": "imagenet", "chart": False}}
            learns = {"frozen": True, **self._rate_of_a_head}
            phases = tuple(phase.model_copy(update=learns) for phase in self.imagenet)
            return plain | {"classifier": {"weights": "imagenet", "chart": False, "phases": phases}}
        if kind == "share":
            return {"data": {"share": float(value)}}
        if kind == "seed":
            return {"seed": int(value), "classifier": {"phases": self.seed_phases}}
        raise RecipeError(f"There is no training {name!r} behind the tables of COVID-CXNet.")

    @property
    def _rate_of_a_head(self) -> dict[str, float]:
        """The learning rate with which ``own`` trains its head alone, where it does."""
        return next(({"learning_rate": p.learning_rate} for p in self.own.classifier.phases if p.frozen), {})


def _changed(recipe: CovidCxNetRecipe, changes: dict[str, Any]) -> CovidCxNetRecipe:
    """A recipe with other settings, those of a part by name within it; checked as one that was read."""
    content = recipe.model_dump()
    for name, value in changes.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    return CovidCxNetRecipe.model_validate(content)
