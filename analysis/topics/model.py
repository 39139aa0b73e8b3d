"""`TopicModel`: learns topics from vectors and texts, assigns new rows, and keeps its topics' ids when refitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from analysis.topics import state
from analysis.topics.clusterers import Clusterer
from analysis.topics.dedup import KeyArray, distinct
from analysis.topics.geometry import DoubleArray, FloatArray, IntArray
from analysis.topics.granularity import choose_labels
from analysis.topics.history import describe_changes
from analysis.topics.identity import left_behind
from analysis.topics.inputs import checked_pair, checked_rows
from analysis.topics.kinship import find_kin
from analysis.topics.labels import Reader
from analysis.topics.layers import USUAL_ENGINE, Layering, learning_rows
from analysis.topics.map import TopicMap
from analysis.topics.memory import Memory, Origin
from analysis.topics.partition import Partition, partition_from_labels
from analysis.topics.records import Topic, TopicEvent, renamed
from analysis.topics.renumber import renumber
from analysis.topics.subtopics import continue_subtopics, find_subtopics
from analysis.topics.succession import Succession, outgrown, remembered
from analysis.topics.summary import describe_themes, describe_topics, located
from analysis.topics.themes import continue_themes, find_themes, theme_centres


class TopicModel(BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Topics with a memory, after the conventions of scikit-learn.

    Near-identical texts are merged first, an engine clusters the rest (at most 20,000 of them) at several
    granularities, one layer becomes the topics and a finer one the sub-topics; neighbouring topics form themes. From
    then on a topic is a centroid and a radius, and `assign` and ``labels_`` follow the same rule: the nearest
    centroid, if it lies within that topic's radius.

    Parameters
    ----------
    clusterer
        Name of an engine of `analysis.topics.clusterers.CLUSTERERS` ("ward", "evoc", "umap-hdbscan", "linkage"), or
        an object with ``fit_predict`` and, if it has several layers, ``layers_``. Fewer than 50 distinct texts always
        go to "linkage" unless an object is given.
    min_topic_size
        Distinct texts below which a group is no topic; default: the larger of 5 and n / 400.
    seed
        Seed of every random choice; the same seed and input give the same topics.

    Attributes
    ----------
    topics_ : tuple of Topic
        The topics, in the order of ``centroids_``.
    themes_ : tuple of Topic
        Groups of neighbouring topics, which name them as ``parent_id``; empty below twelve topics.
    subtopics_ : tuple of Topic
        Sub-topics, with ``parent_id``; a topic has either none or at least two.
    labels_ : ndarray of shape (n,), int64
        Topic id of every row of the last fit, -1 for outliers; equal to ``assign`` of the same rows.
    centroids_ : ndarray of shape (k, d), float32
        Unit centroids.
    radii_ : ndarray of shape (k,), float32
        Cosine distance within which a topic's rows lie: 95 % of rows, over all topics.
    events_ : tuple of TopicEvent
        What the last `refit` changed; after `fit`, one birth for each topic.
    silhouette_ : float
        Silhouette of the layer that the last `fit` chose; NaN where there was nothing to choose.
    partition_, subpartition_ : Partition
        The geometry of both levels.
    member_keys_, member_ids_ : ndarray of shape (m,)
        Keys of the distinct texts of the last fit and their topics: how a refit recognises texts.
    next_id_ : int
        The first id that was never used.
    memory_ : Memory
        A sample of at most 4,000 distinct rows of the last fit and how often each occurred.
    origin_ : Origin
        The fit that chose the granularity: what changes slowly is held against it.
    names_ : dict
        Names that people gave, by topic id; labels in refits and their events.
    chosen_on_ : int
        Distinct texts when the granularity was last chosen.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3, 16), 20, axis=0) + 0.05 * rng.normal(size=(60, 16))
    >>> words = ["lost card", "exchange rate", "closed account"]
    >>> texts = [f"{words[i // 20]} {chr(97 + i % 20)}" for i in range(60)]
    >>> model = TopicModel("linkage").fit(X, texts)
    >>> sorted(topic.label for topic in model.topics_)
    ['closed account', 'exchange rate', 'lost card']
    """

    topics_: tuple[Topic, ...]
    themes_: tuple[Topic, ...]
    subtopics_: tuple[Topic, ...]
    labels_: IntArray
    centroids_: FloatArray
    radii_: FloatArray
    events_: tuple[TopicEvent, ...]
    silhouette_: float
    partition_: Partition
    subpartition_: Partition
    member_keys_: KeyArray
    member_ids_: IntArray
    next_id_: int
    memory_: Memory
    origin_: Origin
    names_: dict[int, str]
    chosen_on_: int

    def __init__(
        self, clusterer: str | Clusterer = USUAL_ENGINE, min_topic_size: int | None = None, seed: int = 0
    ) -> None:
        self.clusterer = clusterer
        self.min_topic_size = min_topic_size
        self.seed = seed

    def fit(self, X: ArrayLike, texts: Sequence[str]) -> TopicModel:
        """Learn topics afresh; ids start at 0.

        Parameters
        ----------
        X
            Embeddings (n, d); they need not have unit length. n may be 0.
        texts
            The n texts behind them; like ``X`` an array of NumPy, pandas or Arrow, or a list.

        Raises
        ------
        ValueError
            When ``X`` and ``texts`` differ in length, ``X`` is not (n, d) or not finite, the engine is unknown, or
            ``min_topic_size`` is below 1.
        TypeError
            When a text is no string.
        """
        rows, texts = checked_pair(X, texts)
        first, group, keys = distinct(texts)
        learnt = rows[first[learning_rows(len(first), self.seed)]]
        engine = self._engine()
        reduced = engine.prepared(learnt)
        layers = engine(reduced)
        labels, self.silhouette_ = choose_labels(reduced, layers, engine, self.seed)
        ids = np.arange(int(labels.max(initial=-1)) + 1, dtype=np.int64)
        partition = partition_from_labels(learnt, labels, ids)
        self.next_id_, self.chosen_on_, self.topics_, self.names_ = len(ids), len(first), (), {}
        sub, parents = find_subtopics(learnt, partition, layers, self.next_id_)
        self.next_id_ += len(sub.ids)
        self._learn(rows, texts, (first, group, keys), (partition, sub, parents))
        self.origin_ = Origin.of(self.memory_, self.partition_)
        self.events_ = describe_changes({}, self._by_id(), np.full(len(rows), -1), self.labels_, {})
        return self

    def refit(self, X: ArrayLike, texts: Sequence[str]) -> TopicModel:
        """Learn from a later set of rows and keep the ids of topics that live on.

        Topics start where they were, and their centroids take two Lloyd steps. The engine runs anew and proposes
        births, splits and merges; each is accepted only where the texts that came since the last fit prove it
        against a memory of that fit (see `analysis.topics.evidence`), so that the same traffic gives the same
        topics. The granularity itself is chosen anew once there are twice as many distinct texts as when it was
        chosen, and changes only for a silhouette that is clearly better. Ids are never reused. ``events_`` tells
        what changed; shares before and after are counted by the same rule.

        Parameters
        ----------
        X
            Embeddings (n, d) in the same space as before.
        texts
            The n texts behind them.

        Raises
        ------
        ValueError
            As `fit`, and when d differs from the earlier fit.
        """
        self._check_fitted()
        if not len(self.topics_):
            return self._fit_after_nothing(X, texts)
        rows, texts = checked_pair(X, texts, self.centroids_.shape[1])
        first, group, keys = distinct(texts)
        before = self._by_id()
        known = remembered(keys, self.member_keys_, self.member_ids_, self.partition_.assign(rows[first])[0])
        some = learning_rows(len(first), self.seed)
        learnt = rows[first[some]]
        engine = self._engine()
        layers = engine(learnt)
        succession = Succession(self.partition_, self.memory_.rows, self.origin_, self.next_id_)
        partition = None
        if outgrown(self.chosen_on_, len(first)):
            self.chosen_on_ = len(first)
            partition = succession.chosen_anew(learnt, layers, known[some], engine)
        anew = partition is not None
        if partition is None:
            partition = succession.continued(learnt, layers, known[some], ~np.isin(keys[some], self.member_keys_))
        self.next_id_ = max(self.next_id_, int(partition.ids.max(initial=-1)) + 1)
        sub, parents = find_subtopics(learnt, partition, layers, self.next_id_)
        sub, parents = continue_subtopics(learnt, self.subpartition_, sub, parents, self.next_id_)
        self.next_id_ = max(self.next_id_, int(sub.ids.max(initial=-1)) + 1)
        old, memory = self.partition_, self.memory_
        came_from = left_behind(rows[first], known, self.partition_, partition.ids)
        kin = find_kin(self.partition_, partition, self.origin_.places())
        self._learn(rows, texts, (first, group, keys), (partition, sub, parents))
        self.origin_ = Origin.of(self.memory_, self.partition_) if anew else self.origin_
        earlier = memory.closest_shares((old, partition), {topic.topic_id: topic.share for topic in self.topics_})
        self.events_ = describe_changes(before, self._by_id(), came_from[group], self.labels_, earlier, kin)
        return self

    def move(self, X: ArrayLike, texts: Sequence[str], earlier: IntArray) -> TopicModel:
        """Go on in another space, such as that of another embedding model: topics stay with their rows.

        Parameters
        ----------
        X
            Embeddings (n, d) in the new space.
        texts
            The n texts behind them.
        earlier
            Topic id of every row before (n,), -1 for none.

        Raises
        ------
        ValueError, TypeError
            As `fit`, and when ``earlier`` does not fit the rows.
        """
        self._check_fitted()
        if not len(self.topics_):
            return self._fit_after_nothing(X, texts)
        rows, texts = checked_pair(X, texts)
        if len(earlier) != len(rows):
            raise ValueError(f"X has {len(rows)} rows, but there are {len(earlier)} earlier topics")
        first, group, keys = distinct(texts)
        before = self._by_id()
        some = first[learning_rows(len(first), self.seed)]
        known = np.where(np.isin(earlier, self.partition_.ids), earlier, -1)[some]
        ids = np.unique(known[known >= 0])
        partition = partition_from_labels(rows[some], np.where(known >= 0, np.searchsorted(ids, known), -1), ids)
        layers = self._engine()(rows[some])
        sub, parents = find_subtopics(rows[some], partition, layers, self.next_id_)
        self.next_id_ = max(self.next_id_, int(sub.ids.max(initial=-1)) + 1)
        self._learn(rows, texts, (first, group, keys), (partition, sub, parents))
        self.origin_ = Origin.of(self.memory_, self.partition_)
        self.events_ = describe_changes(before, self._by_id(), earlier, self.labels_, {})
        return self

    def assign(self, X: ArrayLike) -> tuple[IntArray, DoubleArray]:
        """Give new rows to topics.

        Parameters
        ----------
        X
            Embeddings (n, d).

        Returns
        -------
        tuple
            Topic id (n,), -1 where the nearest centroid's radius does not reach. Membership (n,) in [0, 1]: 1
            at the centroid, one half at the radius, so assigned rows have at least one half.

        Raises
        ------
        ValueError
            When the model is not fitted or ``X`` does not have its number of columns.
        """
        self._check_fitted()
        ids, membership, _ = self.partition_.assign(checked_rows(X, self.centroids_.shape[1]))
        return ids, membership

    def assign_subtopics(self, X: ArrayLike) -> tuple[IntArray, DoubleArray]:
        """Give new rows to sub-topics, by the rule of `assign`; -1 where none reaches."""
        self._check_fitted()
        ids, membership, _ = self.subpartition_.assign(checked_rows(X, self.centroids_.shape[1]))
        return ids, membership

    def novelty(self, X: ArrayLike) -> DoubleArray:
        """Return the cosine distance (n,) of rows beyond the radius of their nearest topic; 0 inside.

        Without any topic every row has novelty 1.
        """
        self._check_fitted()
        _, _, novelty = self.partition_.assign(checked_rows(X, self.centroids_.shape[1]))
        return novelty

    def rename(self, names: Mapping[int, str]) -> TopicModel:
        """Give themes, topics and sub-topics names, by id, that later refits keep; unknown ids are left out."""
        self._check_fitted()
        known = {topic.topic_id for topic in (*self.themes_, *self.topics_, *self.subtopics_)}
        self.names_.update({topic: name for topic, name in names.items() if topic in known})
        self._name()
        return self

    def locate(self, topic_map: TopicMap) -> TopicModel:
        """Give every theme, topic and sub-topic its position on a map: that of its centroid."""
        self._check_fitted()
        self.themes_ = located(self.themes_, theme_centres(self.topics_, self.themes_, self.centroids_), topic_map)
        self.topics_ = located(self.topics_, self.centroids_, topic_map)
        self.subtopics_ = located(self.subtopics_, self.subpartition_.centroids, topic_map)
        return self

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the learned state as arrays for `numpy.savez`; no object arrays, so no pickle.

        Exemplars are row indices into the rows of the last fit. An engine given as an object is not stored.
        """
        self._check_fitted()
        return state.to_arrays(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], clusterer: Clusterer | None = None) -> TopicModel:
        """Return the model that `to_arrays` stored.

        Parameters
        ----------
        arrays
            What `to_arrays` returned, or an open npz file.
        clusterer
            The engine for later refits, where the stored model had an object of its own.

        Raises
        ------
        ValueError
            When the arrays were written by another schema version, or need a ``clusterer``.
        """
        model = cls(**state.parameters(arrays, clusterer))
        state.restore(model, arrays)
        return model

    def _fit_after_nothing(self, X: ArrayLike, texts: Sequence[str]) -> TopicModel:
        """Fit afresh, yet go on with the ids where topics once existed."""
        offset = self.next_id_
        self.fit(X, texts)
        if offset:
            self.renumber(offset)
        return self

    def renumber(self, offset: int) -> None:
        """Raise the ids of all topics and sub-topics by ``offset``, where lower ones are in use elsewhere."""
        renumber(self, offset)

    def _engine(self) -> Layering:
        """Return the engine with its parameters."""
        if self.min_topic_size is not None and self.min_topic_size < 1:
            raise ValueError(f"min_topic_size is {self.min_topic_size}, expected at least 1, or None")
        return Layering(self.clusterer, self.min_topic_size, self.seed)

    def _learn(
        self,
        rows: FloatArray,
        texts: Sequence[str],
        groups: tuple[IntArray, IntArray, KeyArray],
        levels: tuple[Partition, Partition, IntArray],
    ) -> None:
        """Set the learned attributes from the geometry of both levels."""
        first, group, keys = groups
        self.partition_, self.subpartition_, parents = levels
        ids, _, _ = self.partition_.assign(rows)
        sub_ids, _, _ = self.subpartition_.assign(rows)
        self.labels_, self.member_keys_, self.member_ids_ = ids, keys, ids[first]
        themes = self._themes(np.array([(ids == topic).sum() for topic in self.partition_.ids.tolist()], np.int64))
        reader = Reader()
        self.topics_ = describe_topics(rows, texts, first, self.partition_, ids, themes, reader=reader, level=0)
        self.themes_ = describe_themes(rows, texts, first, self.topics_, ids, reader)
        self.subtopics_ = describe_topics(
            rows, texts, first, self.subpartition_, sub_ids, parents, reader=reader, level=1
        )
        self._name()
        self.centroids_, self.radii_ = self.partition_.centroids, self.partition_.radii
        self.memory_ = Memory.of(rows[first], np.bincount(group, minlength=len(first)), self.seed)

    def _name(self) -> None:
        self.topics_, self.themes_ = renamed(self.topics_, self.names_), renamed(self.themes_, self.names_)
        self.subtopics_ = renamed(self.subtopics_, self.names_)

    def _themes(self, sizes: IntArray) -> IntArray:
        """Return the theme id of every topic (k,): its earlier one, else that of its neighbours; -1 without themes."""
        parents = {topic.topic_id: topic.parent_id for topic in self.topics_}
        earlier = [parents.get(topic) for topic in self.partition_.ids.tolist()]
        known = np.array([-1 if theme is None else theme for theme in earlier], dtype=np.int64)
        if (known >= 0).sum() > len(known) / 2:
            return continue_themes(self.partition_.centroids, sizes, known)
        labels = find_themes(self.partition_.centroids, sizes)
        found = np.where(labels >= 0, labels + self.next_id_, -1)
        self.next_id_ += int(labels.max(initial=-1)) + 1
        return found

    def _by_id(self) -> dict[int, Topic]:
        return {topic.topic_id: topic for topic in self.topics_}

    def _check_fitted(self) -> None:
        if not hasattr(self, "partition_"):
            raise NotFittedError("this TopicModel is not fitted; call fit(X, texts) or TopicModel.from_arrays first")
