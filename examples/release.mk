# Releases with make: copy this beside fleet.yaml, or `include` it in a Makefile there.
#
#   make release     build if anything that the last build read has changed
#   make check       every mistake in the fleet
#
# The build itself says what it has read, in the depfile. New files are noticed in directories of their own (`devices/`,
# `jars/`, `templates/`), not beside fleet.yaml, which every build touches.

OTAPRESS ?= otapress
STAMP    ?= .release.stamp

.PHONY: release check
release: $(STAMP)

check:
	$(OTAPRESS) check --strict

# The stamp is as old as the beginning of the build, so that what changes meanwhile is built again.
$(STAMP): $(wildcard fleet.yaml devices jars templates)
	touch $@.new
	$(OTAPRESS) build --depfile $@.d
	mv $@.new $@

# Somebody has removed out/.
ifeq ($(wildcard out/otapress.json),)
$(STAMP): missing
.PHONY: missing
missing:
endif

-include $(STAMP).d
