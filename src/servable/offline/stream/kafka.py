"""Kafka: a consumer group takes messages; answers and the group's place in its topics are one transaction, so that a
reader of committed answers finds one for each message, whoever dies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final

from servable.errors import MissingExtra, Unavailable
from servable.offline.kafka import made, said, settings_of
from servable.offline.stream.pipe import Received

WAIT_S: Final = 0.2
TIMEOUT_S: Final = 30.0


class KafkaPipe:
    """A `Pipe` from one topic to another. `name` is ours alone: who comes up with it fences off the one before, and
    ends what that one had begun.
    """

    def __init__(self, url: str, source: str, target: str, group: str, name: str) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise MissingExtra("kafka", "take messages from Kafka", missing="confluent_kafka") from error
        self._kafka = confluent_kafka
        self._target = target
        fault = confluent_kafka.KafkaException
        common = settings_of(url)
        self._consumer = made(
            confluent_kafka.Consumer,
            {
                **common, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "group.instance.id": name,  # or the group would wait most of a minute for one that was killed
            },
            fault,
        )  # fmt: skip
        self._consumer.subscribe([source])
        self._producer = made(confluent_kafka.Producer, {**common, "transactional.id": name}, fault)
        self._ready = False

    def take(self, most: int) -> list[Received] | None:
        self._prepare()
        found = []
        for message in self._consumer.consume(most, WAIT_S):
            if (fault := message.error()) is not None:
                raise Unavailable(f"Kafka does not answer: {fault.str()}")
            place = f"{message.topic()}/{message.partition()}/{message.offset()}"
            found.append(Received(place, message.value() or b"", message))
        return found

    def _prepare(self) -> None:
        """Before the first message: a transaction that was open at a crash would hold up whoever reads the answers."""
        if self._ready:
            return
        try:
            self._producer.init_transactions(TIMEOUT_S)
        except self._kafka.KafkaException as error:
            raise Unavailable(f"Kafka does not answer: {said(error)}") from error
        self._ready = True

    def answer(self, received: Sequence[Received], answers: Sequence[bytes]) -> None:
        producer = self._producer
        try:
            producer.begin_transaction()
            for message, answer in zip(received, answers, strict=True):
                producer.produce(self._target, answer, message.receipt.key(), headers={"id": message.id})
                producer.poll(0)
            places: dict[tuple[str, int], Any] = {}
            for message in received:
                taken = message.receipt
                place = self._kafka.TopicPartition(taken.topic(), taken.partition(), taken.offset() + 1)
                places[taken.topic(), taken.partition()] = place
            group = self._consumer.consumer_group_metadata()
            producer.send_offsets_to_transaction(list(places.values()), group, TIMEOUT_S)
            producer.commit_transaction(TIMEOUT_S)
        except (self._kafka.KafkaException, BufferError) as error:
            with contextlib.suppress(self._kafka.KafkaException):  # where it cannot be ended, the next of our name does
                producer.abort_transaction(TIMEOUT_S)
            raise Unavailable(f"Kafka does not take the answers: {said(error)}") from error

    def close(self) -> None:
        self._consumer.close()
