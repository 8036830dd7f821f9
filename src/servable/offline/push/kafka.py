"""Kafka: a message each, by its key, so that one partition keeps them in order; acknowledged by all replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from servable.errors import MissingExtra
from servable.offline.kafka import made, settings_of
from servable.offline.push.message import Message, NoAnswer, Refused

TIMEOUT_S: Final = 30.0


class KafkaTopic:
    """A `Sink`. `url` is the cluster's."""

    def __init__(self, url: str, topic: str) -> None:
        try:
            import confluent_kafka
        except ImportError as error:
            raise MissingExtra("kafka", "push to Kafka", missing="confluent_kafka") from error
        self._kafka = confluent_kafka
        self._topic = topic
        self._producer = made(
            confluent_kafka.Producer,
            {
                **settings_of(url),
                "enable.idempotence": True,  # which demands acks from all, and keeps the order when it tries again
                "delivery.timeout.ms": int(TIMEOUT_S * 1000),
            },
            confluent_kafka.KafkaException,
        )

    def send(self, messages: Sequence[Message]) -> None:
        faults: list[Any] = []

        def told(error: Any, _: Any) -> None:
            if error is not None:
                faults.append(error)

        try:
            for message in messages:
                self._producer.produce(
                    self._topic, message.body, message.key, headers={"id": message.id}, on_delivery=told
                )
                self._producer.poll(0)
        except (self._kafka.KafkaException, BufferError) as error:
            self._producer.purge()
            raise self._fault(error.args[0]) from error
        if self._producer.flush(TIMEOUT_S + 5.0) or faults:
            self._producer.purge()
            raise self._fault(faults[0] if faults else "no acknowledgement came")

    def _fault(self, told: Any) -> Refused | NoAnswer:
        if getattr(told, "code", lambda: None)() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE:
            return Refused(f"Kafka refuses it: {told}")
        return NoAnswer(f"Kafka does not take it: {told}")

    def close(self) -> None:
        self._producer.flush(0)
