"""Indexes of the filters that had none, measured by `script/bench search`.

Each is built while the log goes on being written. A build that was interrupted leaves
an index that PostgreSQL calls invalid: drop it and migrate again.
"""

from django.db import migrations, models

from audit.concurrently import AddIndexMeanwhile


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("audit", "0005_search_functions")]
    operations = [
        AddIndexMeanwhile(
            model_name="auditevent",
            index=models.Index(fields=["actor_id", "-id"], name="audit_event_actor"),
        ),
        AddIndexMeanwhile(
            model_name="auditevent",
            index=models.Index(
                fields=["application_id", "-id"], name="audit_event_app"
            ),
        ),
        AddIndexMeanwhile(
            model_name="auditevent",
            index=models.Index(
                fields=["gateway_id", "-id"], name="audit_event_gateway"
            ),
        ),
        AddIndexMeanwhile(
            model_name="auditevent",
            index=models.Index(
                fields=["actor_address", "-id"], name="audit_event_from"
            ),
        ),
        AddIndexMeanwhile(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("outcome__in", ("W", "E", "A"))),
                fields=["outcome", "-id"],
                name="audit_event_outcome",
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                fields=["destination", "destination_port", "-started_at"],
                name="audit_conn_service",
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                fields=["gateway_id", "-started_at"], name="audit_conn_gateway"
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                fields=["destination_port", "-started_at"], name="audit_conn_port"
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                fields=["source_port", "-started_at"], name="audit_conn_from_port"
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                condition=models.Q(("verdict", "denied")),
                fields=["-started_at", "-id"],
                name="audit_conn_denied",
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                condition=models.Q(("verdict", "denied")),
                fields=["person_id", "-started_at"],
                name="audit_conn_denied_person",
            ),
        ),
        AddIndexMeanwhile(
            model_name="connection",
            index=models.Index(
                condition=models.Q(("verdict", "denied")),
                fields=["application_id", "-started_at"],
                name="audit_conn_denied_app",
            ),
        ),
    ]
