# Instance HA for OpenStack on Pacemaker.  make demo | test | test-slow | test-configure | stress | faults | chaos | bench | check | install
PREFIX  ?= /usr
DESTDIR ?=
PYTHON  ?= /usr/bin/python3
PYTHONDIR = $(PREFIX)/lib/instance-ha
SBINDIR   = $(PREFIX)/sbin
BINDIR    = $(PREFIX)/bin
OCFDIR    = $(PREFIX)/lib/ocf/resource.d/openstack
MANDIR    = $(PREFIX)/share/man
HERE      = $(DESTDIR)$(PYTHONDIR)/instance_ha
FENCEAGENTSLIBDIR ?= /usr/share/fence
PACKAGES  = cli configuring doctor engine planning reporting

LAB = /usr/bin/python3 -m tests.lab
LABVENV = $${INSTANCE_HA_LAB_DIR:-/var/lib/instance-ha-lab}/venv
SEED   ?= 1
ROUNDS ?= 20
FILL = sed -e '1s|^.*|\#!$(PYTHON) -I|' -e 's|@PYTHONDIR@|$(PYTHONDIR)|' -e 's|@FENCEAGENTSLIBDIR@|$(FENCEAGENTSLIBDIR)|'

.PHONY: demo test test-slow test-configure stress faults evidence chaos bench check compat install uninstall lab-down

# On another release of Debian than this machine's: LAB_SUITE=trixie make demo. The same target runs in a root of that release.
IN_SUITE = demo test test-slow test-configure stress faults evidence chaos bench check
PASS_ON = SEED='$(SEED)' ROUNDS='$(ROUNDS)' DEMO='$(DEMO)' STRESS='$(STRESS)' FAULTS='$(FAULTS)' BENCH='$(BENCH)' EVIDENCE='$(EVIDENCE)'

ifneq ($(filter-out bookworm,$(LAB_SUITE)),)
$(IN_SUITE):
	@LAB_SUITE='$(LAB_SUITE)' $(LAB).suite make --no-print-directory $@ $(PASS_ON)
else
demo:
	@$(LAB) install
	@/usr/bin/python3 -m tests.demo $(DEMO)

test:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.run

test-slow:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.run -m slow tests/nova tests/cluster

test-configure:
	@$(LAB) install
	@$(LABVENV)/bin/python -m pytest -v --durations=5 tests/configure

stress:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.stress $(STRESS)

faults:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.faults $(FAULTS)

evidence:
	@$(LAB) up --controllers 1 --computes 3
	@$(LABVENV)/bin/python -u -m tests.nova.evidence $(EVIDENCE); status=$$?; $(LAB) down; exit $$status

chaos:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.chaos --seed $(SEED) --rounds $(ROUNDS)

bench:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.bench $(BENCH)

check:
	@$(LAB) install
	@$(LABVENV)/bin/ruff check agents tests setup.py
	@$(LABVENV)/bin/mypy
	@$(LABVENV)/bin/python -m pytest tests/unit
endif

# What runs on which platform, tried now, into docs/platforms.md; COMPAT='3.9 demo' tries the rows with these words only.
compat:
	@/usr/bin/python3 -m tests.compat $(COMPAT)

lab-down:
	@$(LAB) down

install:
	@'$(PYTHON)' -I -c 'import lxml' || { echo 'make install: $(PYTHON) has no lxml: see "Install" in README.md' >&2; exit 1; }
	rm -rf '$(HERE).new' '$(HERE).old'
	umask 022 && install -d '$(HERE).new' '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(OCFDIR)'
	install -m 0644 agents/instance_ha/*.py '$(HERE).new/'
	for package in $(PACKAGES); do install -d '$(HERE).new/'$$package && install -m 0644 agents/instance_ha/$$package/*.py '$(HERE).new/'$$package/ || exit 1; done
	if [ -e '$(HERE)' ]; then mv '$(HERE)' '$(HERE).old'; fi && mv '$(HERE).new' '$(HERE)' && rm -rf '$(HERE).old'
	$(FILL) agents/fence_nova > '$(DESTDIR)$(SBINDIR)/fence_nova' && chmod 0755 '$(DESTDIR)$(SBINDIR)/fence_nova'
	$(FILL) agents/instance-ha > '$(DESTDIR)$(BINDIR)/instance-ha' && chmod 0755 '$(DESTDIR)$(BINDIR)/instance-ha'
	$(FILL) ocf/openstack/NovaEvacuate > '$(DESTDIR)$(OCFDIR)/NovaEvacuate' && chmod 0755 '$(DESTDIR)$(OCFDIR)/NovaEvacuate'
	umask 022 && PYTHONPATH=agents PYTHONDONTWRITEBYTECODE=1 '$(PYTHON)' -m instance_ha.manual '$(DESTDIR)$(MANDIR)'

uninstall:
	rm -rf '$(DESTDIR)$(PYTHONDIR)'
	rm -f '$(DESTDIR)$(MANDIR)/man8/fence_nova.8' '$(DESTDIR)$(MANDIR)/man8/instance-ha.8' '$(DESTDIR)$(MANDIR)/man7/ocf_openstack_NovaEvacuate.7'
	rm -f '$(DESTDIR)$(SBINDIR)/fence_nova' '$(DESTDIR)$(BINDIR)/instance-ha' '$(DESTDIR)$(OCFDIR)/NovaEvacuate'
