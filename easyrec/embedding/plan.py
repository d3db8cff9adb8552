"""Which embedding tables a model needs, and which columns each feature fills. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from easyrec.config.compress import PART
from easyrec.config.numeric import dense_embedding
from easyrec.embedding.spec import BagSpec, EmbeddingPlan, GroupPlan, Initializer, KeySpec, TableSpec
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.layout import Composed, GroupLayout, NumericField, Search, SequenceLayout, Span
from feature_generator.config import member

if TYPE_CHECKING:
    from easyrec.config.compress import Part
    from easyrec.config.model import GroupUse, ModelConfig, SequenceEntry
    from feature_generator import OutputSpec
    from feature_generator.dynamic import DynamicConfig

__all__ = ["BagSpec", "EmbeddingPlan", "GroupPlan", "Initializer", "TableSpec", "plan_embeddings"]

FIRST_ORDER = Initializer("normal", 1e-4)
"""How first-order weights start, whatever embeddings do: those of ids that are hardly met would be noise in every sum."""

SEQUENCE_KINDS = ("sparse_sequence", "dense_sequence")
MOST_ONE_HOT = 128
"""Ids of a feature that may come as one-hot vectors."""


def plan_embeddings(outputs: Mapping[str, OutputSpec], model: ModelConfig) -> EmbeddingPlan:
    """Resolve a model's groups over the outputs of a generator.

    Raises:
        ConfigError: All problems at once; `where` is the dotted path of a value, e.g. `model.groups.deep.features.2`.
    """
    plan, problems = examine_embeddings(outputs, model)
    if problems:
        raise ConfigError(problems)
    return plan


def examine_embeddings(outputs: Mapping[str, OutputSpec], model: ModelConfig) -> tuple[EmbeddingPlan, list[Problem]]:
    """The plan as far as it can be told, and all that is wrong with it.

    Groups with problems are left out; all are where the trouble is not with a group.
    """
    resolver = _Resolver(outputs, model)
    plan = resolver.resolve()
    groups = {
        name: group
        for name, group in plan.groups.items()
        if not any(model.against(name, problem) for problem in resolver.problems)
    }
    return EmbeddingPlan(plan.tables, groups, plan.keys), resolver.problems


@dataclass
class _Entry:
    """A sequence of a group: its outputs, candidates, whether the lookup pools it, and which steps it looks up."""

    name: str
    children: list[OutputSpec]
    query: list[str | None]
    encoder: Any
    pooled: str | None  # "sum", "mean", or None: the steps reach the model
    search: Search | None


@dataclass
class _Group:
    """The members of a group, in order."""

    features: list[OutputSpec] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)


class _Resolver:
    def __init__(self, outputs: Mapping[str, OutputSpec], model: ModelConfig) -> None:
        self.outputs, self.model = outputs, model
        self.problems: list[Problem] = []
        self.undimmed: dict[str, None] = {}
        self.tables: dict[str, TableSpec] = {}
        self.keys: dict[str, KeySpec] = {}
        self.composed: dict[str, tuple[Any, list[Part]]] = {}
        self.sequences: dict[str, list[OutputSpec]] = {}
        for spec in outputs.values():
            if spec.kind in SEQUENCE_KINDS:
                self.sequences.setdefault(spec.sequence or spec.name, []).append(spec)

    def resolve(self) -> EmbeddingPlan:
        uses = self.model.uses()
        for name in self.model.groups or {}:
            if name not in uses:
                text = f"type '{self.model.type}' reads no group '{name}'{nearest(name, uses)}; it reads: {', '.join(uses)}"
                self.problem(f"model.groups.{name}", text)
        absent = {name for name, use in uses.items() if use.optional and name not in (self.model.groups or {})}
        groups = {
            name: self.group(name, use, self.members(name, use, uses))
            for name, use in uses.items()
            if name not in absent
        }
        if self.undimmed:
            names = ", ".join(f"'{name}'" for name in self.undimmed)
            text = f"{names} need{'s' * (len(self.undimmed) == 1)} an embedding_dim: set it there, or model.embedding_dim for all"
            self.problem("model", text)
        known = list(dict.fromkeys(_table(spec) for spec in self.outputs.values() if "sparse" in spec.kind))
        for name in self.model.compress:
            if name not in known:
                text = f"no table of ids is called '{name}'{nearest(name, known)}"
                self.problem(
                    f"model.compress.{name}", f"{text}\ntables are called like embedding_name, else like the feature"
                )
        used = {table.keys for table in self.tables.values()}
        return EmbeddingPlan(
            tuple(self.tables.values()), groups, tuple(keys for name, keys in self.keys.items() if name in used)
        )

    def problem(self, where: str, message: str) -> None:
        problem = Problem(message, where)
        if problem not in self.problems:
            self.problems.append(problem)

    # ------------------------------------------------------------------------------------------ members

    def members(self, name: str, use: GroupUse, uses: Mapping[str, GroupUse]) -> _Group:
        """The features and sequences of a group, as the config lists them or by default."""
        groups = self.model.groups
        if groups is not None and name in groups:
            return self.listed(name, use)
        if use.like is not None and use.like != name:
            return self.members(use.like, uses.get(use.like, use), uses)
        if groups is None and (name == "deep" or len(uses) == 1):
            return _Group([spec for spec in self.outputs.values() if spec.kind not in SEQUENCE_KINDS])
        given = ", ".join(groups or {}) or "none"
        text = f"type '{self.model.type}' needs a group '{name}'\ngiven: {given}; add e.g. {name}: [{self.some(use)}]"
        self.problem("model.groups", text)
        return _Group()

    def some(self, use: GroupUse) -> str:
        """The first features, as an example; where ids are told apart the one with the fewest."""
        if use.one_hot:
            sparse = [spec for spec in self.outputs.values() if spec.kind == "sparse"]
            return min(sparse, key=lambda spec: spec.rows or MOST_ONE_HOT).name if sparse else "a feature of ids"
        return ", ".join([name for name, spec in self.outputs.items() if spec.kind not in SEQUENCE_KINDS][:3])

    def listed(self, name: str, use: GroupUse) -> _Group:
        assert self.model.groups is not None
        config, group = self.model.groups[name], _Group()
        where = f"model.groups.{name}"
        for index, feature in enumerate(config.features):
            spec = self.outputs.get(feature)
            if feature in config.features[:index]:
                self.problem(f"{where}.features.{index}", f"'{feature}' is listed twice")
            elif spec is not None and spec.kind not in SEQUENCE_KINDS:
                group.features.append(spec)
            elif spec is not None or feature in self.sequences:
                self.problem(
                    f"{where}.features.{index}", f"'{feature}' is a sequence: list it under 'sequences' of the group"
                )
            else:
                known = [n for n, s in self.outputs.items() if s.kind not in SEQUENCE_KINDS]
                self.problem(f"{where}.features.{index}", f"no feature is called '{feature}'{nearest(feature, known)}")
        for index, entry in enumerate(config.sequences):
            path = f"{where}.sequences.{index}"
            if entry.sequence not in self.sequences:
                names = ", ".join(self.sequences) or "none"
                hint = nearest(entry.sequence, self.sequences) or f"; known: {names}"
                self.problem(f"{path}.sequence", f"no sequence is called '{entry.sequence}'{hint}")
            elif any(entry.key == e.name for e in group.entries):
                self.problem(f"{path}.sequence", f"'{entry.key}' is listed twice: give one of them another 'name'")
            else:
                children = self.sequences[entry.sequence]
                pooled = None if entry.newest or use.codes else self.pooled(entry.encoder)
                query = self.candidates(entry.sequence, children, entry.query or {}, group.features, path)
                search = None if pooled else self.search(entry, children, query, path)
                group.entries.append(_Entry(entry.key, children, query, entry.encoder, pooled, search))
        return group

    def pooled(self, encoder: Any) -> str | None:
        """How the lookup itself pools a sequence with this encoder; None: the steps reach the model."""
        if encoder is None:
            return "mean" if self.model.default_encoder() in (None, "pooling") else None
        pooling: str | None = encoder.lookup_pooling
        return pooling

    def candidates(
        self, sequence: str, children: list[OutputSpec], query: Mapping[str, str], features: list[OutputSpec], path: str
    ) -> list[str | None]:
        """For each child the feature of the group that it is compared with."""
        fields = {spec.name: spec for spec in features if not _is_input(spec)}
        short = {_short(child, sequence): child for child in children}
        given: dict[str, str] = {}
        for key, candidate in query.items():
            child = short.get(key) or next((c for c in children if c.name == key), None)
            if child is None:
                known = ", ".join(short)
                self.problem(f"{path}.query.{key}", f"sequence '{sequence}' has no child '{key}'; it has: {known}")
            elif candidate not in fields:
                text = f"no field of the group is called '{candidate}'{nearest(candidate, fields)}"
                if candidate in self.outputs and candidate not in (s.name for s in features):
                    text = f"'{candidate}' must be among the group's features"
                elif candidate in self.outputs:
                    text = f"'{candidate}' is a dense input: give it an embedding_dim to compare it with '{child.name}'"
                self.problem(f"{path}.query.{key}", text)
            elif (ours := self.dim(child)) != (theirs := self.dim(fields[candidate])):
                text = f"'{child.name}' has embedding_dim {ours}, but its candidate '{candidate}' has {theirs}"
                self.problem(f"{path}.query.{key}", text)
            else:
                given[child.name] = candidate
        shared = {_table(spec): spec.name for spec in reversed(list(fields.values()))}
        return [given.get(c.name, shared.get(_table(c)) if c.kind == "sparse_sequence" else None) for c in children]

    def search(
        self, entry: SequenceEntry, children: list[OutputSpec], query: list[str | None], path: str
    ) -> Search | None:
        """Which steps the encoder wants looked up, with the child by which they are found."""
        sequence, encoder = entry.sequence, entry.encoder
        chosen = encoder or member("easyrec.modules.sequence", self.model.default_encoder() or "pooling").Config()
        want: Search | None = chosen.search
        if entry.newest:
            if want is not None:
                self.problem(f"{path}.newest", f"encoder '{chosen.type}' chooses the steps by itself: leave this out")
            return Search("newest", entry.newest)
        if want is None or want.kind == "newest":
            return want
        pairs = ((child, self.outputs.get(candidate or "")) for child, candidate in zip(children, query, strict=True))
        able = {_short(child, sequence): child for child, spec in pairs if spec is not None and _same_ids(child, spec)}
        found = able.get(want.child or "") or next((c for c in able.values() if c.name == want.child), None)
        if want.child is None and able:
            # Categories are few, items are many.
            sizes = {name: child.rows or 0 for name, child in able.items()}
            pick = min if want.kind == "hard" else max
            found = able[pick(sizes, key=lambda name: sizes[name])]
        if found is not None:
            if want.kind in ("hash", "soft") and found.dynamic is not None:
                text = f"encoder '{chosen.type}' compares the rows of all steps, but '{found.name}' is dynamic"
                self.problem(f"{path}.encoder" if encoder else path, f"{text}: some of its ids have no row")
            return replace(want, child=found.name)
        if not able:
            text = f"encoder '{chosen.type}' finds steps by ids that they share with the candidate, but no child of "
            text += f"'{sequence}' shares an embedding_name with a feature of the group"
        else:
            text = (
                f"'{want.child}' is no child of '{sequence}' that shares an embedding_name with a feature of the group"
            )
            text += f"{nearest(want.child or '', able)}; such are: {', '.join(able)}"
        self.problem(f"{path}.encoder" if encoder else path, text)
        return None

    # ------------------------------------------------------------------------------------------ columns

    def group(self, name: str, use: GroupUse, members: _Group) -> GroupPlan:
        if use.one_hot or use.codes:
            specs = [*members.features, *(child for entry in members.entries for child in entry.children)]
            self.static(name, [spec for spec in specs if use.one_hot or self.is_item(spec)])
        if use.one_hot:
            return self.one_hot(name, members)
        if use.codes and not self.fits_codes(name, use, members):
            return GroupPlan(GroupLayout(name), (), (), ())
        if use.alone and self.one_id(name, members, f"keep the one that tells {use.about}s apart") is None:
            return GroupPlan(GroupLayout(name), (), (), ())
        fields = [spec for spec in members.features if not _is_input(spec)]
        others = len(fields) + sum(len(e.children) for e in members.entries) - 1
        want = _Want(use.fields, max(others, 1) if use.pairs else 1, _suffix(name, use))
        numeric = self.numeric(fields, want)
        made = {field.name for field in numeric}
        coded = {s.name for e in members.entries for s in e.children if use.codes and self.is_item(s)}
        coded |= {s.name for s in fields if use.codes and use.about == "item"}

        def bag_of(spec: OutputSpec) -> BagSpec:
            return self.coded(spec, use.codes) if spec.name in coded else self.bag(spec, want)

        bags = [bag_of(spec) for spec in fields if spec.name not in made]
        for entry in members.entries:
            if entry.pooled is not None:
                bags += [self.bag(child, want, pooled=entry.pooled) for child in entry.children]
        steps = [e for e in members.entries if e.pooled is None and use.fields]
        sequences = [[bag_of(child) for child in e.children] for e in steps]
        widths = [(bag.feature, bag.dim) for bag in bags] + [(field.name, field.dim) for field in numeric]
        every = [*bags, *(child for children in sequences for child in children)]
        vectors = ", ".join(bag.feature for bag in bags if bag.kind == "copy")
        if use.pairs and vectors:
            text = f"vectors have no embedding for each other field, but these are vectors: {vectors}"
            self.problem(f"model.groups.{name}", text)
        elif use.fields and use.equal_dims and widths:
            crossed = [(bag.feature, bag.dim // want.copies) for bag in every]
            crossed += [(field.name, field.dim // want.copies) for field in numeric]
            fixed = {bag.feature for bag in every if bag.kind == "copy"}
            for unequal in self.model.unequal(name, crossed, fixed):
                self.problem(unequal.where, unequal.message)
        plain = [BagSpec(f.name, "linear", 0, 0, _table(self.outputs[f.name]), f.size) for f in numeric]
        first = [self.first(bag) for bag in [*bags, *plain] if bag.kind != "copy"] if use.first_order else []
        if use.first_order and len(first) < len(widths):
            self.problem(
                f"model.groups.{name}", f"vectors have no first-order weights, but these are vectors: {vectors}"
            )
        bags, composed = self.made_of(bags)
        made_of = [self.made_of(children) for children in sequences]
        layout = GroupLayout(
            name,
            tuple(Span(bag.feature, bag.dim, bag.start, bag.feature in coded) for bag in bags),
            tuple(_spans([(s.name, s.value_dim) for s in members.features if _is_input(s)])),
            tuple(
                SequenceLayout(
                    e.name,
                    tuple(Span(b.feature, b.dim, b.start, b.feature in coded) for b in children),
                    tuple(dict(zip((c.name for c in e.children), e.query, strict=True))[b.feature] for b in children),
                    e.encoder,
                    e.search,
                    of_children,
                )
                for e, (children, of_children) in zip(steps, made_of, strict=True)
            ),
            bool(first),
            tuple(numeric),
            composed,
        )
        if not (bags or numeric or layout.dense or layout.sequences) and not self.problems:
            self.problem(f"model.groups.{name}", "has no features")
        return GroupPlan(
            layout, tuple(bags) if use.fields else (), tuple(_side_by_side(first)), tuple(tuple(s) for s, _ in made_of)
        )

    def one_hot(self, name: str, members: _Group) -> GroupPlan:
        """A group of one feature of ids, as vectors that tell the ids apart."""
        where = f"model.groups.{name}"
        spec = self.one_id(name, members, "join several ids with a combo feature, give a number boundaries")
        if spec is None:
            return GroupPlan(GroupLayout(name), (), (), ())
        rows = self.rows(spec)
        if rows > MOST_ONE_HOT:
            text = f"'{self.model.type}' tells at most {MOST_ONE_HOT} ids of '{name}' apart, but '{spec.name}' has {rows:,}"
            self.problem(where, f"{text}\ngive it fewer buckets")
            return GroupPlan(GroupLayout(name), (), (), ())
        table = f"{_table(spec)}:one_hot"
        self.tables[table] = TableSpec(table, rows, rows, (spec.name,), False, Initializer("identity", 1.0))
        layout = GroupLayout(name, (Span(spec.name, rows, 0),))
        return GroupPlan(layout, (BagSpec(spec.name, "ids", rows, 0, table, mean=True),), (), ())

    def static(self, name: str, specs: list[OutputSpec]) -> None:
        """Note those that are dynamic where the ids themselves reach the model."""
        for spec in specs:
            if spec.dynamic is not None:
                text = f"'{self.model.type}' reads the ids of '{spec.name}' themselves, which must be counted: it cannot be "
                self.problem(f"model.groups.{name}", f"{text}dynamic\ngive it num_buckets or a vocabulary")

    def one_id(self, name: str, members: _Group, remedy: str) -> OutputSpec | None:
        """The one feature of ids that a group has; None, with a problem, where it has another or more."""
        if not members.entries and [spec.kind for spec in members.features] == ["sparse"]:
            return members.features[0]
        listed = ", ".join([spec.name for spec in members.features] + [e.name for e in members.entries])
        text = f"'{self.model.type}' needs one feature of ids in '{name}', but it has: {listed or 'none'}"
        if listed or not self.problems:  # a group that is missing has been told
            self.problem(f"model.groups.{name}", f"{text}\n{remedy}")
        return None

    def fits_codes(self, name: str, use: GroupUse, members: _Group) -> bool:
        """Whether it is clear what stands for items in a group."""
        where, before = f"model.groups.{name}", len(self.problems)
        if use.about == "item" and ([s.kind for s in members.features] != ["sparse"] or members.entries):
            listed = ", ".join([spec.name for spec in members.features] + [e.name for e in members.entries])
            if listed or not self.problems:  # a group that is missing has been told
                text = f"'{self.model.type}' knows an item by its codes: give '{name}' the feature of its id alone"
                self.problem(where, f"{text}\nit has: {listed or 'nothing'}")
            return False
        for index, entry in enumerate(members.entries):
            if len([child for child in entry.children if self.is_item(child)]) != 1:
                children = ", ".join(f"{child.name} of {_table(child)}" for child in entry.children)
                text = f"'{self.model.type}' needs a sequence of items: one child of '{entry.name}' shares the "
                text += f"embedding_name of the feature in '{self.item_group()}'\nits children: {children}"
                self.problem(f"{where}.sequences.{index}", text)
        return len(self.problems) == before

    def item_group(self) -> str:
        """The group whose one feature tells items apart."""
        return next((n for n, use in self.model.uses().items() if use.codes and use.about == "item"), "")

    def is_item(self, spec: OutputSpec) -> bool:
        """Whether an output's ids are those of items that come as codes."""
        group = (self.model.groups or {}).get(self.item_group())
        found = [self.outputs[name] for name in group.features if name in self.outputs] if group else []
        return any(spec.kind in ("sparse", "sparse_sequence") and _table(spec) == _table(item) for item in found)

    def coded(self, spec: OutputSpec, codes: int) -> BagSpec:
        """The bag of an id that comes as the codes of its item."""
        table, rows = f"{_table(spec)}:codes", self.rows(spec)
        self.table(table, rows, codes, spec, Initializer("normal", 0.0), trainable=False)
        return BagSpec(spec.name, "ids", codes, 0, table)

    def numeric(self, fields: list[OutputSpec], want: _Want) -> list[NumericField]:
        """The fields that the model makes of numbers; those of one kind and dim are neighbours."""
        found: dict[tuple[str, int], list[tuple[OutputSpec, Any]]] = {}
        for spec in fields if want.embedded else ():
            config = self.dense_embedding(spec)
            if config is not None:
                kind = (config.model_dump_json(), self.dim(spec) * want.copies)
                found.setdefault(kind, []).append((spec, config))
        made = [(spec, dim, config) for (_, dim), specs in found.items() for spec, config in specs]
        columns = _spans([(spec.name, spec.value_dim) for spec, _, _ in made])
        return [
            NumericField(spec.name, dim, span.start, span.dim, config)
            for (spec, dim, config), span in zip(made, columns, strict=True)
        ]

    def dense_embedding(self, spec: OutputSpec) -> Any:
        """How a number becomes a field; None: by a table."""
        if spec.dense_embedding is None:
            return None
        try:
            config = dense_embedding(spec.dense_embedding)
        except ConfigError as error:
            for problem in error.problems:
                self.problem("features", f"'{spec.name}' . {problem.where}: {problem.message}")
            return None
        if config is not None and spec.kind == "dense_sequence":
            text = f"'{spec.name}' is a sequence: its dense_embedding must be 'linear', not '{config.type}'"
            self.problem("features", f"{text}; or give it boundaries")
        if config is not None and (spec.embedding_name != spec.name or not spec.trainable):
            key = "trainable" if spec.embedding_name == spec.name else "embedding_name"
            text = f"'{spec.name}' has '{key}', which is for tables: dense_embedding '{config.type}' has none"
            self.problem("features", text)
        return config

    def bag(self, spec: OutputSpec, want: _Want, pooled: str | None = None) -> BagSpec:
        """The bag of one output; dim 0 where the model reads no embeddings of it."""
        embedded = want.embedded
        mean = spec.pooling == "mean"
        linear = spec.kind in ("dense", "dense_sequence")
        if linear and spec.embedding_dim is None:
            dim = spec.value_dim if embedded else 0
            return BagSpec(spec.name, "copy", dim, 0, value_dim=spec.value_dim, mean=pooled == "mean")
        if spec.kind == "dense_sequence":
            self.dense_embedding(spec)
        rows = self.rows(spec)
        dim = self.dim(spec) * want.copies if embedded else 0
        name = f"{_table(spec)}{want.suffix}"
        config = self.model.compress.get(_table(spec)) if embedded and not linear else None
        if config is not None:
            self.compose(name, rows, dim, spec, config, summed=pooled is not None, paired=want.copies > 1)
        elif embedded:
            self.table(name, rows, dim, spec)
        is_sequence = spec.kind in SEQUENCE_KINDS
        return BagSpec(
            spec.name,
            "linear" if linear else "ids",
            dim,
            0,
            name,
            spec.value_dim if linear else 1,
            mean=pooled == "mean" if is_sequence else mean,
            element_mean=is_sequence and mean,
        )

    def compose(
        self, name: str, rows: int, dim: int, spec: OutputSpec, config: Any, *, summed: bool, paired: bool
    ) -> None:
        """Note that `spec` looks up in a table that is made of others."""
        where = f"model.compress.{_table(spec)}"
        try:
            parts: list[Part] = config.parts(rows, dim)
        except ValueError as error:
            return self.problem(where, str(error))
        moved = any(not part.plain for part in parts)
        searched = [e for g in (self.model.groups or {}).values() for e in g.sequences if self.compared(e, spec)]
        for wrong, text in (
            (
                moved and spec.dynamic is not None,
                "is dynamic: rows are given to whole ids, and this needs their digits",
            ),
            (not spec.trainable, "is not trainable, and what it is made of would stay as it starts"),
            (paired, f"has an embedding for each other field in '{self.model.type}'"),
            (
                not config.linear and summed,
                f"is pooled in '{spec.name}', and a sum of parts does not give that of wholes",
            ),
            (bool(searched), "has rows that a search compares"),
        ):
            if wrong:
                self.problem(
                    where, f"'{config.type}' is not for '{_table(spec)}', which {text}\nleave it out, or take another"
                )
        self.composed[name] = (config, parts)
        for number, part in enumerate(parts):
            self.table(_part_name(name, number, parts), part.rows, part.dim, spec)
        return None

    def compared(self, entry: SequenceEntry, spec: OutputSpec) -> bool:
        """Whether a sequence's steps are chosen by comparing rows of an output's table."""
        chosen = entry.encoder or member("easyrec.modules.sequence", self.model.default_encoder() or "pooling").Config()
        children = [child for child in self.sequences.get(entry.sequence, ()) if _table(child) == _table(spec)]
        return bool(children) and chosen.search is not None and chosen.search.kind in ("hash", "soft")

    def made_of(self, bags: list[BagSpec]) -> tuple[list[BagSpec], tuple[Composed, ...]]:
        """The bags that fill what composed fields are made of in place of these, side by side."""
        found: list[BagSpec] = []
        composed: list[Composed] = []
        for bag in bags:
            if bag.table not in self.composed or not bag.dim:
                found.append(bag)
                continue
            config, parts = self.composed[bag.table]
            composed.append(Composed(bag.feature, bag.dim, len(found), len(parts), bag.table, config))
            for number, part in enumerate(parts):
                moved = None if part.plain else part
                name = _part_name(bag.table, number, parts)
                found.append(replace(bag, dim=part.dim, table=name, part=moved, single=not config.linear))
        return _side_by_side(found), tuple(composed)

    def first(self, bag: BagSpec) -> BagSpec:
        """The bag of the first-order weights of a field."""
        spec = self.outputs[bag.feature]
        rows = self.rows(spec)
        name = f"{bag.table}:first"
        self.table(name, rows, 1, spec, FIRST_ORDER)
        return replace(bag, dim=1, table=name)

    def rows(self, spec: OutputSpec) -> int:
        """Rows of an output's table."""
        if spec.kind in ("dense", "dense_sequence"):
            return spec.value_dim
        if spec.rows is None:
            self.problem(
                f"features.{spec.name}", f"'{spec.name}' does not say how many ids it has: give it num_buckets"
            )
        return spec.rows or 1

    def dim(self, spec: OutputSpec) -> int:
        """Width of an output's embedding (for vectors without one, of the vector)."""
        if spec.kind in ("dense", "dense_sequence") and spec.embedding_dim is None:
            return spec.value_dim
        dim = spec.embedding_dim or self.model.embedding_dim
        if dim is None:
            self.undimmed[spec.name] = None
        return dim or 1

    def table(
        self,
        name: str,
        rows: int,
        dim: int,
        spec: OutputSpec,
        init: Initializer | None = None,
        trainable: bool | None = None,
    ) -> None:
        """Note that `spec` looks up in a table, which must agree with what is known of it."""
        known, trainable = self.tables.get(name), spec.trainable if trainable is None else trainable
        if known is None:
            keys = self.keyed(spec)
            self.tables[name] = TableSpec(name, rows, dim, (spec.name,), trainable, init or self.init(rows, dim), keys)
            return
        first = known.features[0]
        if spec.dynamic != self.outputs[first].dynamic:
            text = f"'{first}' and '{spec.name}' share the table '{_table(spec)}', but their 'dynamic' differs"
            self.problem(f"features.{spec.name}", f"{text}\nmake them equal, or give one another embedding_name")
            return
        for what, ours, theirs in (
            ("rows", rows, known.rows),
            ("embedding_dim", dim, known.dim),
            ("trainable", trainable, known.trainable),
        ):
            if ours != theirs:
                shared = f"'{first}' and '{spec.name}' share the table '{_table(spec)}'"
                text = f"{shared}, but {what} is {theirs} for '{first}' and {ours} for '{spec.name}'"
                text += "\nmake them equal, or give one another embedding_name"
                self.problem(f"features.{spec.name}", text)
        if spec.name not in known.features:
            self.tables[name] = replace(known, features=(*known.features, spec.name))

    def keyed(self, spec: OutputSpec) -> str | None:
        """The name of the keys of an output's table; None where its ids are rows."""
        if (dynamic := spec.dynamic) is None:
            return None
        name = _table(spec)
        self.keys.setdefault(name, key_spec(name, dynamic))
        return name

    def init(self, rows: int, dim: int) -> Initializer:
        """How a table starts; vectors of numeric fields start like all others, or they would drown them at first."""
        config = self.model.embedding_init
        if config.type == "xavier":
            return Initializer("normal", (2.0 / (rows + dim)) ** 0.5)
        if config.type == "uniform":
            return Initializer("uniform", config.bound)
        return Initializer("normal", config.std)


@dataclass(frozen=True)
class _Want:
    """What a group wants of its outputs: embeddings at all, how many side by side, and whose tables."""

    embedded: bool
    copies: int
    suffix: str


def _suffix(name: str, use: GroupUse) -> str:
    """What sets the group's tables apart from those of other groups over the same features."""
    return (f":{name}" if use.own else "") + (":pairs" if use.pairs else "")


def _is_input(spec: OutputSpec) -> bool:
    """Whether the output is a numeric input of its group, not a field."""
    return spec.kind == "dense" and spec.embedding_dim is None


def _same_ids(child: OutputSpec, candidate: OutputSpec) -> bool:
    """Whether equal ids of a sequence's child and of a feature mean the same."""
    return (child.kind, candidate.kind) == ("sparse_sequence", "sparse") and _table(child) == _table(candidate)


def key_spec(name: str, config: DynamicConfig) -> KeySpec:
    """The rules of a dynamic table as its key map takes them."""
    admission, eviction = config.admission, config.eviction
    counting: Any = "none"
    if admission.probability is not None:
        counting = "chance"
    elif admission.min_count > 1:
        counting = admission.counter
    policy: Any = "lru" if eviction.policy == "ttl" else eviction.policy
    return KeySpec(
        name,
        config.capacity,
        counting,
        admission.min_count,
        admission.probability or 1.0,
        (admission.size or config.capacity) if counting in ("exact", "sketch") else 0,
        policy,
        float(eviction.half_life or 0),
        eviction.ttl or 0,
    )


def _table(spec: OutputSpec) -> str:
    return spec.embedding_name or spec.name


def _part_name(table: str, number: int, parts: list[Part]) -> str:
    """Name of a table that another one is made of."""
    return table if len(parts) == 1 else f"{table}{PART}{number}"


def _short(child: OutputSpec, sequence: str) -> str:
    return child.name.removeprefix(f"{sequence}__")


def _spans(widths: list[tuple[str, int]]) -> list[Span]:
    spans, start = [], 0
    for name, width in widths:
        spans.append(Span(name, width, start))
        start += width
    return spans


def _side_by_side(bags: list[BagSpec]) -> list[BagSpec]:
    """The bags with their columns one after another."""
    spans = _spans([(bag.feature, bag.dim) for bag in bags])
    return [replace(bag, start=span.start) for bag, span in zip(bags, spans, strict=True)]
