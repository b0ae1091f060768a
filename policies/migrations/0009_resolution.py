import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What gateways say that host names stand for."""

    dependencies = [
        ("peers", "0002_device_approval"),
        ("policies", "0008_destination_host_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="Resolution",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("told_at", models.DateTimeField()),
                ("names", models.JSONField(default=dict)),
                (
                    "gateway",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="resolution",
                        to="peers.gateway",
                    ),
                ),
            ],
        ),
    ]
