from django.db import migrations, models


class Migration(migrations.Migration):
    """A destination may be known by a host name, inside its prefix."""

    dependencies = [("policies", "0007_policy_versions")]

    operations = [
        migrations.AddField(
            model_name="applicationdestination",
            name="host_name",
            field=models.CharField(blank=True, default="", max_length=253),
        ),
    ]
