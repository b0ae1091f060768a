"""Forget a person in alarms, which are of them and not in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from audit.alarms.models import Acquaintance, Alarm, AlarmEvidence

if TYPE_CHECKING:
    from audit.retention.blanking import Names


def forget_in_alarms(names: Names) -> int:
    """Put a person's id in the place of their names; return how many alarms changed.

    What the rules have learnt of them goes.
    """
    person = names.person
    Acquaintance.objects.filter(person_id=person).delete()
    Alarm.objects.filter(assignee_id=person).update(assignee_label=person)
    alarms = Alarm.objects.filter(Q(person_id=person) | Q(key__contains=person))
    for alarm in alarms:
        Alarm.objects.filter(pk=alarm.pk).update(
            sentence=names.without(alarm.sentence, is_own=True),
            note=names.without(alarm.note, is_own=True),
            **(
                {"person_label": person, "device_label": alarm.device_id}
                if alarm.person_id == person
                else {}
            ),
        )
    for evidence in AlarmEvidence.objects.filter(alarm__in=alarms):
        AlarmEvidence.objects.filter(pk=evidence.pk).update(
            text=names.without(evidence.text, is_own=True)
        )
    return len(alarms)
