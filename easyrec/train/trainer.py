"""The trainer: batch, forward, loss, backward, update, evaluate, checkpoint."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from easyrec import metrics, models
from easyrec.batch import Batch
from easyrec.config import Experiment
from easyrec.config.distributed import Distributed
from easyrec.config.parts import NO_ROWS, unmet
from easyrec.data import Loader, Part, Sources, make_loader, open_sources
from easyrec.device import open_device
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.on_device import DeviceCollection, obstacle
from easyrec.embedding.plan import EmbeddingPlan, plan_embeddings
from easyrec.embedding.propagated import PropagatedCollection, collection_of
from easyrec.embedding.sharded import ShardedCollection
from easyrec.embedding.sharding import KINDS, Kind, compared, kinds_of
from easyrec.embedding.tiers import bytes_of, store_of
from easyrec.embedding.torchrec_plan import planned
from easyrec.errors import ConfigError, DataError, Problem
from easyrec.export.trial import try_out
from easyrec.modules.activation import BatchNorm
from easyrec.processors import num_threads
from easyrec.train.beginning import begin, scattered
from easyrec.train.checkpoint import CheckpointStore
from easyrec.train.clipping import clip
from easyrec.train.codes import same_codes, write_codes
from easyrec.train.compiled import CompileWatch
from easyrec.train.diagnosis import diagnose
from easyrec.train.distilling import Distillation
from easyrec.train.early_stop import EarlyStop
from easyrec.train.ema import EMA
from easyrec.train.event_time import newest
from easyrec.train.finish import finish
from easyrec.train.freeze import freeze, frozen_plan
from easyrec.train.init_from import check_start, init_from
from easyrec.train.interrupt import Interrupted, StopRequest
from easyrec.train.matching import Matching
from easyrec.train.mean import LossMeans
from easyrec.train.memory import kept_memory
from easyrec.train.objective import Objective
from easyrec.train.observer import Observer
from easyrec.train.optimizers import DenseUpdates
from easyrec.train.out_of_memory import doubt_about, lacks_memory, no_memory_for_tables, out_of_memory
from easyrec.train.profiling import Profile
from easyrec.train.progress import Progress
from easyrec.train.randomness import seed_all
from easyrec.train.recent import Recent
from easyrec.train.rhythm import Rhythm
from easyrec.train.run import Run
from easyrec.train.run_folder import METRICS, PROGRESS, FollowedFolder, RunFolder, run_path
from easyrec.train.schedules import Rate
from easyrec.train.scored import Scored, of_all
from easyrec.train.scorer import Scorer, task_scorings
from easyrec.train.snapshot import read_folder
from easyrec.train.state import go_to, snapshot_of, start_anew
from easyrec.train.stopwatch import Stopwatch
from easyrec.train.taught import teach
from easyrec.train.tensorboard import TensorBoard
from easyrec.train.turns import Turn, Turns, add_up_gradients, first_rows
from easyrec.train.weighting import build as build_weighting
from easyrec.workers import Silent, WorkerLost, Workers

logger = logging.getLogger("easyrec.train")


class Trainer:
    """Trains one experiment in one folder.

    Args:
        experiment: What to train.
        run_dir: Folder of the run; default `runs/<name>`.
        data: Sources by part that stand in for the config's, see `easyrec.data.open_sources`.
        resume: Go on from the newest valid checkpoint in the folder; without one, start.
        overwrite: Remove what is in the folder.
        bar: Whether to draw a progress bar; default: whether stderr is a terminal.
        export: Whether the trained model becomes a bundle.
        profile: How many steps are profiled, behind those that warm up; 0: none.
        workers: Those that train together, who have met.
        observer: Follows the training, of which it is told alone: nothing is left to go on from, or to serve.

    Raises:
        RunError: The folder is taken.
        ConfigError: Config and data do not fit.
        DataError: There is nothing to read.
    """

    def __init__(
        self,
        experiment: Experiment,
        run_dir: str | os.PathLike[str] | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        bar: bool | None = None,
        export: bool = True,
        profile: int = 0,
        workers: Workers | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.workers, self.observer = workers or Workers(), observer
        self.experiment, self.config, self.bar, self.export = experiment, experiment.train, bar, export
        self.profiled = profile
        path = run_path(experiment.name) if run_dir is None else Path(run_dir)
        self.folder = (
            RunFolder(path, resume=resume, overwrite=overwrite)
            if self.workers.first
            else FollowedFolder(path, resume=resume)
        )
        self.threads = self.config.threads or num_threads()
        try:
            own = f"cuda:{self.workers.local}" if self.workers.several and self.config.device == "cuda" else None
            self.device = open_device(own or self.config.device)
        except ConfigError as error:
            raise experiment.placed(error) from None
        self._open_data(data)
        with using_threads(self.threads):
            self._build()
        self.stop = StopRequest(patient=self.workers.several, told=WorkerLost)
        self.turns = Turns(self.workers, experiment.tasks, lambda: self.stop.name is not None)
        self.epoch = 0
        self.watch = Stopwatch()
        self.step, self.samples, self.learned = 0, 0, 0
        self.epoch_rows = 0  # rows of the running epoch that were learned
        self.event_time: float | str | None = None  # the newest that was learned
        self.evaluated_step, self.saved_step = -1, -1
        self.unsaved = False
        self.small: set[str] = set()  # dynamic tables that had too few rows for a step
        self.loss_since_log, self.loss_since_evaluation = LossMeans(), LossMeans()
        self.former_seconds = 0.0  # of the sessions before an interruption
        self.finishing = False

    def _open_data(self, data: Mapping[str, Any] | None) -> None:
        sources = open_sources(self.experiment, data)
        if sources.train is None:
            raise self.experiment.placed(ConfigError([NO_ROWS]))
        for doubt in self.experiment.doubts(data or ()):
            logger.warning("%s", doubt)
        self.taught = teach(self.experiment, sources, self.folder.path)
        if self.taught is not None:
            self.experiment, sources = self.taught.experiment, self.taught.sources
        self.sources = sources
        assert sources.train is not None
        self.part, self.plan = sources.train, plan_embeddings(self.experiment.generator.outputs, self.experiment.model)
        self.matching = None if self.experiment.eval.retrieval is None else Matching(self.experiment, sources)
        self.sampled = self.experiment.data.sampler is not None
        self._agree_on_versions(sources)
        self.loader = self._reader(sources.train, training=True)
        self._count_rows()
        self.valid = None if sources.valid is None else self._reader(sources.valid, training=False)
        self.test = None if sources.test is None else self._reader(sources.test, training=False)
        for loader in (self.loader, *self.evaluated.values()):
            loader.idle = self.heed_signals
        problems = unmet(
            self.config,
            self.experiment.eval,
            valid=self.valid is not None,
            counted=self.loader.num_rows is not None,
            steps=self.loader.num_batches is not None,
            endless=self.loader.source.endless,
        )
        if problems:
            raise self.experiment.placed(ConfigError(problems))

    def _agree_on_versions(self, sources: Sources) -> None:
        """Have all workers read what the first one has opened: a table may have been written to in between."""
        for part in (sources.train, sources.valid, sources.test):
            if part is None or part.source.endless:  # of which each worker reads its own
                continue
            pinned = self.workers.told(part.source.pinned() if self.workers.first else None)
            if pinned is not None and not self.workers.first:
                part.source.pin(pinned)

    @property
    def evaluated(self) -> dict[str, Loader]:
        """The parts that are evaluated."""
        return {name: part for name, part in (("valid", self.valid), ("test", self.test)) if part is not None}

    def _reader(self, part: Part, *, training: bool) -> Loader:
        shard = self.workers.rank, self.workers.size
        if self.matching is None or (training and not self.sampled):
            return make_loader(self.experiment, part, training=training, shard=shard)
        return self.matching.learned(part, shard) if training else self.matching.asked(part, shard)

    def _build(self) -> None:
        config, experiment = self.config, self.experiment
        seed_all(config.seed)
        try:
            plan = frozen_plan(self.plan, config.freeze)
            self.collection = self._tables(plan)
            self.model = models.build(experiment.model, plan, experiment.tasks)
            freeze(self.model, plan, config.freeze)
            self._check_start()
        except ConfigError as error:
            raise experiment.placed(error) from None
        if experiment.model.searches:
            assert self.matching is not None
            write_codes(self.collection, experiment, self.matching.catalogue)
        try_out(self.model, plan.layouts, experiment.tasks)
        self.model.to(self.device).train()
        self._share_batch_norm(self.workers)
        self.forward: Callable[..., Any] = torch.compile(self.model) if config.compile else self.model
        self.compiling = CompileWatch() if config.compile else None
        self.objective = Objective(experiment.tasks).to(self.device)
        self.lessons = self._lessons(plan)
        self.recent = self._measure_lately()
        self.weighting = build_weighting(config.task_weighting, experiment.tasks, self.model)
        if any(True for _ in self.weighting.parameters()):  # the others reckon with a few numbers, on the processor
            self.weighting.to(self.device)
        beside = self.weighting if self.lessons is None else nn.ModuleList([self.weighting, self.lessons])
        self.updates = DenseUpdates(self.model, config.dense_optimizer, config.net_regularizer, beside)
        self.ema = EMA(self.model, config.ema.decay) if config.ema else None
        scorings = task_scorings(experiment)
        self.scorer = Scorer(self.model, self.collection, self.objective, scorings, self.ema, self.device)
        self.plan_rates()
        self.evaluation, self.saving = Rhythm(config.evaluate_every), Rhythm(config.checkpoint.every)
        self.store = CheckpointStore(self.folder.checkpoints, config.checkpoint.keep)
        self.best = self._watch_for_the_best()

    def _lessons(self, plan: EmbeddingPlan) -> Distillation | None:
        """What is learned of teachers, None where nothing is."""
        if self.taught is None or not self.taught.types:
            return None
        try:
            return Distillation(self.experiment, self.model, plan, self.taught.types).to(self.device)
        except ConfigError as error:
            raise self.experiment.placed(error) from None

    def _check_start(self) -> None:
        """Refuse a start from another run that cannot be, while the folder is as it was."""
        start = self.config.init_from
        if start is None or (self.folder.resume and CheckpointStore(self.folder.checkpoints).steps()):
            return
        if Path(start.path).resolve().is_relative_to(self.folder.path.resolve()):
            text = f"{start.path} is in the folder of this run, which begins empty\ngive the run another 'name'"
            raise ConfigError([Problem(text, "train.init_from.path")])
        check_start(start, self.config, [*self.model.state_dict(), *(spec.name for spec in self.plan.tables)])

    def _tables(self, plan: EmbeddingPlan) -> EmbeddingCollection:
        config, seed = self.config, self.config.seed
        settings = config.sparse_optimizer, config.embedding_regularizer, seed, self.threads
        store = store_of(config.storage, self.folder.path)
        if not self.workers.several:
            needed = bytes_of(plan, config.sparse_optimizer.type)
            if store is None and (doubt := doubt_about(needed)):
                logger.warning("%s", doubt)
            try:
                if self._on_device(plan):
                    items = self.experiment.model.item_groups
                    return DeviceCollection(plan, *settings, items, device=self.device)
                return collection_of(self.experiment.model, plan, *settings, store)
            except (MemoryError, torch.OutOfMemoryError) as error:
                raise no_memory_for_tables(needed) from error
        if config.tables == "device":
            text = "several workers share tables in the memory of processors: leave 'tables' out"
            raise ConfigError([Problem(text, "train.tables")])
        kinds = self.workers.told(self._kinds(plan) if self.workers.first else None)
        groups = () if self.matching is None else self.experiment.model.item_groups
        return ShardedCollection(plan, *settings, self.workers, kinds, store, groups)

    def _on_device(self, plan: EmbeddingPlan) -> bool:
        """Whether tables are on the device, where the dense part is."""
        config, propagated = self.config, self.experiment.model.propagated_layers() is not None
        if self.device.type == "cpu" or config.tables == "processor":
            return False
        why = obstacle(plan, config.sparse_optimizer.type, self.device, propagated=propagated)
        if config.storage is not None:
            why = "storage keeps some of their rows on disk"
        if why and config.tables == "device":
            raise ConfigError([Problem(f"tables cannot be on '{config.device}': {why}", "train.tables")])
        if why:
            logger.info("tables stay in the memory of the processor: %s", why)
        return not why

    def _kinds(self, plan: EmbeddingPlan) -> dict[str, Kind]:
        """How tables are shared."""
        chosen = self.config.distributed or Distributed()
        if chosen.planner == "size":
            return kinds_of(plan, chosen.of)
        whole = self.config.sparse_optimizer.type == "rowwise_adagrad" or compared(plan) is not None
        kinds = KINDS[:-1] if whole else KINDS  # by 'column' no worker has a whole row
        rows = self.experiment.data.batch_size // self.workers.size
        return kinds_of(plan, chosen.of, partial(planned, size=self.workers.size, batch_size=rows, kinds=kinds))

    def _share_batch_norm(self, workers: Workers) -> None:
        for module in self.model.modules():
            if isinstance(module, BatchNorm):
                module.workers = workers if workers.several else None

    def go_alone(self, step: int) -> None:
        """Ask the other workers no more, and hold the whole of a checkpoint: what ends a run needs all tables."""
        self.workers = self.turns.workers = Workers()
        self._share_batch_norm(self.workers)
        self.collection = self._tables(self.plan)
        scorings = task_scorings(self.experiment)
        self.scorer = Scorer(self.model, self.collection, self.objective, scorings, self.ema, self.device)
        self.scorer.load(read_folder(self.store.folder(step)))
        for name in ("valid", "test"):
            part = getattr(self.sources, name)
            setattr(self, name, None if part is None else self._reader(part, training=False))

    def _count_rows(self) -> None:
        """Rows of an epoch of all workers."""
        rows = self.loader.num_rows  # known to all workers, or to none
        self.num_rows = None if rows is None else int(self.workers.sum([rows])[0])

    def plan_rates(self) -> None:
        """The learning rates, by the length of the training."""
        self._count_rows()
        dense, sparse, steps = self.config.dense_optimizer, self.config.sparse_optimizer, self._expected_steps()
        self.dense_rate = Rate(dense.lr, dense.schedule, steps)
        self.sparse_rate = Rate(sparse.lr, sparse.schedule, steps)

    def _measure_lately(self) -> Recent | None:
        measured, config = self.experiment.measured, self.config
        if measured is None or config.metrics is None or self.sampled:
            return None
        rows = self.experiment.data.batch_size
        return Recent(config.metrics, measured, self.objective, config.log_every, rows, self.workers)

    def _watch_for_the_best(self) -> EarlyStop | None:
        watched, stop = self.experiment.watched, self.config.early_stop
        if self.valid is None or watched is None or not self.config.checkpoint.best:
            return None
        return EarlyStop(
            watched.key,
            higher_is_better=watched.higher_is_better,
            patience=stop.patience if stop else None,
            min_delta=stop.min_delta if stop else 0.0,
        )

    # --------------------------------------------------------------------------------------- the story

    def fit(self) -> Run:
        """Train to the end; evaluate, calibrate and export the best checkpoint; write the report.

        Raises:
            Interrupted: A signal came, and the state is saved.
            DataError: A row cannot be used.
            CheckpointError: A checkpoint cannot be written, or none of those to resume from is sound.
        """
        with self.folder, using_threads(self.threads), kept_memory(), self.stop, self.watch.part("other"):
            self._begin()
            measured = Profile(self, self.profiled) if self.profiled and self.workers.first else None
            try:
                if measured is not None:
                    measured.start()
                self._train()
                if measured is not None:
                    measured.stop()
                if self.observer is not None:
                    return Run({}, self.folder.path)
                return finish(self) if self.workers.first else Run({}, self.folder.path)
            except WorkerLost as lost:
                raise WorkerLost(self._told_of(lost)) from lost
            except Interrupted:
                if self.unsaved and self.step and not self.finishing:
                    self._save()
                raise
            except (MemoryError, RuntimeError) as error:
                if not lacks_memory(error):
                    raise
                raise out_of_memory(error, self.step, self.saved_step) from error
            finally:
                self.loader.close()
                self.progress.close()
                self.tensorboard.close()

    def _train(self) -> None:
        self._do_what_is_due()  # an interruption may have come before it
        while not self._done():
            if self.matching is not None:
                self.matching.refresh(self.scorer, self.loader.epoch)
            for turn in self.watch.waiting(self.turns.of(self.loader, self.epoch), "waiting for data"):
                with self.watch.part("training"):
                    self._learn(turn)
                self._do_what_is_due()
                if self._done():
                    break
            else:
                if not self.step:
                    raise DataError("there are no rows to learn from", file="data.train")
                self.epoch += 1
                self.epoch_rows, self.unsaved = 0, True
                self._tell_of_bad_rows(self.loader, f"epoch {self.loader.epoch} of train")
                self._do_what_is_due()
        if self.valid is not None and self.evaluated_step != self.step:
            self._evaluate()
        if self.unsaved:
            self._save()

    def _learn(self, turn: Turn) -> None:
        """One step."""
        batch = turn.batch.on(self.device)
        if not self.step and self.config.init_from is None and not self.sampled:
            self._begin_at(batch)
        inputs = self.collection.lookup(batch).on(self.device)
        self.collection.prepare(self.loader.upcoming)
        with self._autocast(), self._listening() as heard:
            logits = self.forward(inputs)
        sessions = self._sessions(batch)
        losses = self._losses(batch, logits, sessions)
        extras = self.model.auxiliary(logits, batch.labels, batch.sample_weight)
        if self.lessons is not None:
            losses = self.lessons.of_labels(losses)
            extras = {**extras, **self.lessons(batch, logits, sessions, inputs, heard)}
        if self.workers.several:
            losses, extras = turn.shared(losses), turn.shared(extras)
        loss = self.weighting.total(losses, extras)
        named = {name: part.detach() for name, part in (losses | extras).items()}
        self.weighting.backward(loss, losses, extras, inputs)
        told = torch.stack(
            [loss.detach(), *named.values()]
        ).tolist()  # waits for a GPU, which has all of it to do by now
        value, *values = add_up_gradients(self.workers, self.updates.parameters, told, idle=not batch.size)
        if not math.isfinite(value):
            if batch.size == 0 or math.isfinite(told[0]):
                raise Silent
            raise diagnose(self.step + 1, told[0], batch, inputs, logits, self.model)
        if self.recent is not None:
            self.recent.add(self.step, batch, logits)
        self._update()
        self.step, self.unsaved = self.step + 1, True
        self.samples += turn.rows
        self.learned += turn.rows
        self.epoch_rows += turn.rows
        self.event_time = newest(self.event_time, batch, self.experiment.data.event_time)
        parts = dict(zip(named, values, strict=True))
        self.loss_since_log.add_all(value, parts)
        self.loss_since_evaluation.add_all(value, parts)
        self.progress.step(turn.rows)
        if self.compiling is not None:
            logger.info("%s", self.compiling.told())
            self.compiling = None
        if self.step % self.config.log_every == 0:
            self._log()

    def _listening(self) -> AbstractContextManager[dict[str, torch.Tensor]]:
        """Inside, what layers give that are compared with a teacher's is kept."""
        return nullcontext({}) if self.lessons is None else self.lessons.watching()

    def _sessions(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Which rows losses compare: by column (B,) int64."""
        if self.sampled:
            return {}
        sessions = {column: batch.codes(column).to(self.device) for column in self.experiment.session_columns}
        if not self.step:
            for doubt in scattered(sessions):
                logger.warning("%s", doubt)
        return sessions

    def _losses(
        self, batch: Batch, logits: Mapping[str, torch.Tensor], sessions: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The losses of the tasks."""
        if self.sampled:
            assert self.matching is not None
            return self.matching.objective(logits, batch)
        return self.objective.by_task(logits, batch.labels, batch.sample_weight, sessions)

    def _begin_at(self, batch: Batch) -> None:
        """Let a new model's outputs start where the labels of its first rows are."""
        labels, weights = first_rows(self.workers, batch)
        if begin(self.model, self.objective, labels, weights) and self.ema is not None:
            self.ema = self.scorer.ema = EMA(self.model, self.ema.decay)

    def _update(self) -> None:
        bounds, scale = self.config.grad_clip, 1.0
        gradients = self.updates.gradients()
        if bounds is not None:
            tables = self.collection.grad_square_sum() if bounds.norm is not None else 0.0
            scale = clip(gradients, tables, bounds)
        self.updates.step(self.dense_rate.at(self.step))
        self.collection.apply_gradients(self.sparse_rate.at(self.step), scale)
        if self.ema is not None:
            self.ema.update()

    def _do_what_is_due(self) -> None:
        """After a step or an epoch: evaluation, checkpoint, a signal."""
        self.heed_signals()
        if not self.step:
            return
        if self.observer is not None:
            self.observer.stepped()
        improved = False
        # The end of an epoch comes after its last step: what was due then has been done.
        if self.valid is not None and self.evaluated_step != self.step and self._due(self.evaluation):
            improved = self._evaluate()
        if improved or (self.saved_step != self.step and self._due(self.saving)):
            self._save()

    def _due(self, rhythm: Rhythm) -> bool:
        due = rhythm.due(self.step, self.epochs)
        return due if rhythm.every.seconds is None else self.workers.agreed(due)  # clocks differ

    def _evaluate(self) -> bool:
        """Evaluate `valid`; True where this is the best state so far."""
        assert self.valid is not None
        with self.watch.part("evaluation"):
            values = self.measure(self.valid)
        improved = False
        if self.best is not None:
            improved = self.best.update(values[self.best.metric], self.step)
            for rate in (self.dense_rate, self.sparse_rate):
                rate.evaluated(improved=improved)
        self.evaluation.mark(self.step, self.epochs)
        self.evaluated_step, self.unsaved = self.step, True
        self._record(values, improved)
        if self.observer is not None:
            self.observer.evaluated(values, improved=improved or self.best is None)
        return improved

    def measure(
        self, loader: Loader, watch: Callable[[Batch, Mapping[str, Any]], None] | None = None
    ) -> dict[str, float]:
        """All metrics over a part of the data.

        Args:
            loader: The part.
            watch: Sees every batch and its predictions too.

        Raises:
            Interrupted: A signal came.
        """
        if self.matching is not None:
            with self.scorer.averaged():
                values = self.matching.measure(self.scorer, loader, self.heed_signals, self.turns)
            values = dict(self.workers.told(values))
            self._tell_of_bad_rows(loader, "valid" if loader is self.valid else "test")
            return values

        def scored() -> Iterator[Scored]:
            columns = self.experiment.eval.columns(self.experiment.tasks)
            for turn in self.turns.of(loader):
                self.heed_signals()
                predictions = self.scorer.predict(turn.batch)
                if watch is not None:
                    watch(turn.batch, predictions)
                yield from of_all(self.workers, Scored.of(turn.batch, predictions, columns))

        with self.scorer.averaged():
            tasks, config = self.experiment.tasks, self.experiment.eval
            values = metrics.evaluate(lambda rows: rows.predictions, scored(), tasks, config)
        values = dict(self.workers.told(values))
        self._tell_of_bad_rows(loader, "valid" if loader is self.valid else "test")
        return values

    def _save(self) -> None:
        """Write a checkpoint."""
        if self.observer is not None:
            return
        with self.watch.part("checkpoints"):
            self.saving.mark(self.step, self.epochs)
            snapshot = snapshot_of(self)
            if self.workers.first:
                self.store.write(self.step, snapshot)
            else:
                self.store.take_part(snapshot)
        self.saved_step, self.unsaved = self.step, False
        self.progress.restart()

    def _done(self) -> bool:
        config = self.config
        if self.best is not None and self.best.exhausted:
            return True
        if config.steps is not None and self.step >= config.steps:
            return True
        epochs = config.epochs if config.epochs is not None or config.steps is not None else 1.0
        return epochs is not None and self.epochs >= epochs - 1e-9

    @property
    def epochs(self) -> float:
        """Epochs done, with the fraction of the running one where the number of rows is known."""
        # An epoch is over when the loaders say so and not before.
        return self.epoch + (min(self.epoch_rows / self.num_rows, 1.0 - 1e-6) if self.num_rows else 0.0)

    def heed_signals(self) -> None:
        """End here where a signal came.

        Raises:
            Interrupted: It says how to go on; `fit` saves the state.
        """
        name = self.stop.name
        if self.turns.stopping if self.workers.several else name is not None:
            saved = f"the state is saved in {self.folder.checkpoints}" if self.step else "there is nothing to save yet"
            raise Interrupted(
                f"stopped by {name or 'a signal to another worker'} at step {self.step:,}; {saved}. To go on: the same command with --resume"
            )

    def _told_of(self, lost: WorkerLost) -> str:
        """What to say where another worker has ended, and how to go on."""
        text = f"another worker has ended, or did not answer, at step {self.step + 1:,}: the job ends\n({lost})"
        steps = self.store.steps()
        kept = f"The newest checkpoint is of step {steps[-1]:,}" if steps else "There is no checkpoint yet"
        return f"{text}\n{kept}. To go on: the same command with --resume"

    def _autocast(self) -> AbstractContextManager[Any]:
        bf16 = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

    # ------------------------------------------------------------------------------- what people see

    def _rates(self) -> dict[str, float]:
        return {"dense": self.dense_rate.at(self.step), "sparse": self.sparse_rate.at(self.step)}

    def _log(self) -> None:
        learned, rates = self._learned(self.loss_since_log), self._rates()
        values = {} if self.recent is None else self.recent.take()
        speed = self.progress.log(self.step, self.epochs, learned["loss"], rates, values)
        record = {"step": self.step, **learned, "lr": rates, "samples_per_second": speed, "seconds": self.seconds}
        dynamics = self.collection.dynamics()
        traffic = self.collection.traffic()
        self._tell_of_small_tables(dynamics)
        more = {"metrics": values, "dynamic": dynamics, "storage": traffic}
        self.folder.append(PROGRESS, record | {name: told for name, told in more.items() if told})
        scalars = {"train/loss": learned["loss"], "train/samples_per_second": speed}
        scalars |= {f"train/{name}": value for name, value in values.items()}
        scalars |= {f"loss/{name}": value for name, value in learned.get("losses", {}).items()}
        scalars |= {f"weight/{name}": value for name, value in learned.get("weights", {}).items()}
        for kind, tables in (("dynamic", dynamics), ("storage", traffic)):
            for name, told in tables.items():
                scalars |= {f"{kind}/{name}/{key}": value for key, value in told.items()}
        self.tensorboard.write(scalars | {f"lr/{name}": rate for name, rate in rates.items()}, self.step)

    def _tell_of_small_tables(self, dynamics: Mapping[str, Mapping[str, float]]) -> None:
        """Warn once of each table that had no row for an id because all were those of ids of the same step."""
        for name, told in dynamics.items() if self.workers.first else ():
            if told["refused"] and name not in self.small:
                self.small.add(name)
                text = f"the dynamic table '{name}' had no row for an id {told['refused']:,} times"
                logger.warning("%s: a step has more ids than the table has rows; raise dynamic.capacity", text)

    def _learned(self, since: LossMeans) -> dict[str, Any]:
        """The mean loss of some steps, those of its parts, and what the tasks weigh now."""
        weights = self.weighting.weights()
        return since.take_all() | ({"weights": weights} if weights else {})

    def _tell_of_bad_rows(self, loader: Loader, part: str) -> None:
        if loader.report.num_bad:
            logger.warning("%s: %s", part, loader.report.summary())

    def _record(self, values: Mapping[str, float], improved: bool) -> None:
        record = {
            "step": self.step,
            "epoch": round(self.epochs, 4),
            "train": self._learned(self.loss_since_evaluation),
            "valid": values,
            "best": improved,
        }
        if self.event_time is not None:
            record["event_time"] = self.event_time
        self.folder.append(METRICS, record)
        self.tensorboard.write({f"valid/{name}": value for name, value in values.items()}, self.step)
        shown = ", ".join(f"{name} {value:.5f}" for name, value in values.items() if "[" not in name)
        self.progress.say(f"step {self.step:,}, epoch {self.epochs:.2f}: valid {shown}{', the best' * improved}")
        self.progress.restart()

    @property
    def seconds(self) -> float:
        """Time of this run, former sessions included."""
        return self.former_seconds + self.watch.elapsed

    # --------------------------------------------------------------------------------------- beginning

    def _begin(self) -> None:
        """Go to the state that training starts from."""
        if self.workers.first:
            self.store.clean()
        self.workers.told(None)  # the folder is as it should be
        found = self.store.newest() if self.folder.resume else None
        self.folder.describe(self.experiment)
        if self.taught is not None:
            self.taught.prepare(self.workers, self.heed_signals, bar=self.bar)
        if found is not None:
            step, snapshot, problems = found
            for problem in problems:
                logger.warning("passed over a damaged checkpoint: %s", problem)
            go_to(self, snapshot)
            if self.workers.first:
                self.store.discard_after(step)
            self.saved_step = step
        else:
            start_anew(self)  # the models are equal: from here on each worker draws for itself
            for name in (METRICS, PROGRESS):
                self.folder.truncate(name, 0)
            if self.matching is not None and isinstance(self.collection, PropagatedCollection):
                logger.info("%s", self.collection.connect(self.matching.taken()))
            if self.config.init_from is not None:
                given = same_codes(self.collection, self.experiment) if self.experiment.model.searches else {}
                try:
                    start, generator = self.config.init_from, self.experiment.generator
                    told = init_from(start, self.model, self.collection, generator, given, self.updates)
                except ConfigError as error:
                    raise self.experiment.placed(error) from None
                logger.info("%s", told)
                if self.ema is not None:
                    self.ema = self.scorer.ema = EMA(self.model, self.ema.decay)
        first = self.workers.first
        self.tensorboard = TensorBoard(self.folder.path / "tensorboard" if first else None, self.step)
        self.progress = Progress(self._expected_steps(), self.step, bar=self.bar if first else False)
        if found is not None:
            self.progress.say(f"resumed at step {self.step:,}")

    def _batches_of_epoch(self) -> int | None:
        """Batches of an epoch of all workers together, None where only reading tells."""
        if not self.workers.several:
            return self.loader.num_batches
        counted = self.num_rows if self.loader.num_batches is not None else None
        return None if counted is None else math.ceil(counted / self.experiment.data.batch_size)

    def _expected_steps(self) -> int | None:
        batches, epochs = self._batches_of_epoch(), self.config.epochs
        if epochs is None and self.config.steps is None:
            epochs = 1.0
        if batches is None or epochs is None:
            return self.config.steps
        steps = math.ceil(batches * epochs)
        return min(steps, self.config.steps or steps)


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Inside, torch uses so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
