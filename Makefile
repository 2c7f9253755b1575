# Instance HA for OpenStack on Pacemaker.  make demo | test | test-slow | test-configure | fuzz | stress | faults | evidence | chaos
#   | bench | check | compat | install | dist | deb | rpm
PREFIX  ?= /usr
DESTDIR ?=
PYTHON  ?= /usr/bin/python3
PYTHONDIR = $(PREFIX)/lib/instance-ha
SBINDIR   = $(PREFIX)/sbin
BINDIR    = $(PREFIX)/bin
OCFDIR    = $(PREFIX)/lib/ocf/resource.d/openstack
MANDIR    = $(PREFIX)/share/man
FENCEAGENTSLIBDIR ?= /usr/share/fence

LAB = /usr/bin/python3 -m tests.lab
LABVENV = $${INSTANCE_HA_LAB_DIR:-/var/lib/instance-ha-lab}/venv
SEED   ?= 1
ROUNDS ?= 20
CASES  ?= 200000
WORLDS ?= 1000000
RELEASE ?= 1

.PHONY: demo test test-slow test-configure fuzz prove stress faults evidence chaos bench check compat install uninstall dist deb rpm lab-down

# On another release of Debian than this machine's: LAB_SUITE=trixie make demo. The same target runs in a root of that release.
# With a user of the agents who is no admin: LAB_ROLE=evacuator make demo.
IN_SUITE = demo test test-slow test-configure stress faults evidence chaos bench check
PASS_ON = TESTS='$(TESTS)' SEED='$(SEED)' ROUNDS='$(ROUNDS)' DEMO='$(DEMO)' STRESS='$(STRESS)' FAULTS='$(FAULTS)' BENCH='$(BENCH)' EVIDENCE='$(EVIDENCE)'

ifneq ($(filter-out bookworm,$(LAB_SUITE)),)
$(IN_SUITE):
	@LAB_SUITE='$(LAB_SUITE)' $(LAB).suite make --no-print-directory $@ $(PASS_ON)
else
demo:
	@$(LAB) install
	@/usr/bin/python3 -m tests.demo $(DEMO)

test:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.run $(TESTS)

test-slow:
	@$(LAB) install
	@$(LABVENV)/bin/python -m tests.run -m slow tests/nova tests/cluster

test-configure:
	@$(LAB) install
	@$(LABVENV)/bin/python -m pytest -v --durations=5 tests/configure

fuzz:
	@$(LAB) install
	@INSTANCE_HA_FUZZ_CASES=$(CASES) $(LABVENV)/bin/python -m pytest -v --durations=5 tests/unit/test_fuzz.py

prove:
	@$(LAB) install
	@WORLDS=$(WORLDS) $(LABVENV)/bin/python -m pytest -v tests/unit/test_knowing_less.py

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
	@$(LABVENV)/bin/python -m tests.lab.audit
	@$(LABVENV)/bin/python -m pytest tests/unit
endif

# What runs on which platform, tried now: docs/platforms.md. COMPAT='3.9 demo' runs the rows that have one of these words.
compat:
	@$(LAB) install
	@/usr/bin/python3 -m tests.compat $(if $(COMPAT),--only "$(COMPAT)")

lab-down:
	@$(LAB) down

install:
	@DESTDIR='$(DESTDIR)' PYTHON='$(PYTHON)' PYTHONDIR='$(PYTHONDIR)' SBINDIR='$(SBINDIR)' BINDIR='$(BINDIR)' \
	OCFDIR='$(OCFDIR)' MANDIR='$(MANDIR)' FENCEAGENTSLIBDIR='$(FENCEAGENTSLIBDIR)' sh packaging/install.sh

uninstall:
	rm -rf '$(DESTDIR)$(PYTHONDIR)'
	rm -f '$(DESTDIR)$(MANDIR)/man8/fence_nova.8' '$(DESTDIR)$(MANDIR)/man8/instance-ha.8' '$(DESTDIR)$(MANDIR)/man7/ocf_openstack_NovaEvacuate.7'
	rm -f '$(DESTDIR)$(SBINDIR)/fence_nova' '$(DESTDIR)$(BINDIR)/instance-ha' '$(DESTDIR)$(OCFDIR)/NovaEvacuate'

dist:
	@sh packaging/dist.sh

deb:
	@RELEASE='$(RELEASE)' sh packaging/deb.sh

rpm:
	@RELEASE='$(RELEASE)' sh packaging/rpm.sh
