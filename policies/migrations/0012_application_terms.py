from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """An application may have a limit on silence, and go on without evidence."""

    dependencies = [("policies", "0011_evidence_spool")]

    operations = [
        migrations.AddField(
            model_name="application",
            name="evidence",
            field=models.CharField(
                choices=[
                    ("strict", "strict: no access"),
                    (
                        "best_effort",
                        "best effort: access goes on, the loss is counted",
                    ),
                ],
                default="strict",
                max_length=11,
            ),
        ),
        migrations.AddField(
            model_name="application",
            name="max_staleness",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="application",
            constraint=models.CheckConstraint(
                condition=Q(max_staleness__isnull=True)
                | Q(max_staleness__gte=60, max_staleness__lte=86400),
                name="policies_application_staleness_in_bounds",
            ),
        ),
        migrations.AddConstraint(
            model_name="application",
            constraint=models.CheckConstraint(
                condition=Q(evidence__in=["strict", "best_effort"]),
                name="policies_application_evidence_is_known",
            ),
        ),
    ]
