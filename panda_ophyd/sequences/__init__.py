"""STAND-IN until branch lines lands."""
from __future__ import annotations
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any
import numpy as np

class Trigger(IntEnum):
    IMMEDIATE=0; BITA_0=1; BITA_1=2; BITB_0=3; BITB_1=4; BITC_0=5; BITC_1=6
    POSA_GT=7; POSA_LT=8; POSB_GT=9; POSB_LT=10; POSC_GT=11; POSC_LT=12

_COLS=(("repeats",np.uint16),("trigger",np.uint8),("position",np.int32),("time1",np.uint32),("outputs1",np.uint8),("time2",np.uint32),("outputs2",np.uint8),("frames",np.uint32))

@dataclass(frozen=True)
class SeqLines:
    repeats: Any; trigger: Any; position: Any; time1: Any; outputs1: Any; time2: Any; outputs2: Any; frames: Any
    @classmethod
    def of(cls, *, repeats=1, trigger=0, position=0, time1=0, outputs1=0, time2=1, outputs2=0, frames=0):
        vals=np.broadcast_arrays(*[np.atleast_1d(v) for v in (repeats,trigger,position,time1,outputs1,time2,outputs2,frames)])
        return cls(*[np.asarray(v).astype(t) for v,(n,t) in zip(vals,_COLS)])
    @classmethod
    def empty(cls): return cls(*[np.zeros(0,t) for n,t in _COLS])
    @classmethod
    def concat(cls, parts):
        parts=list(parts)
        if not parts: return cls.empty()
        return cls(*[np.concatenate([getattr(p,n) for p in parts]) for n,t in _COLS])
    def __len__(self): return len(self.repeats)
    def __getitem__(self, s): return SeqLines(*[getattr(self,n)[s] for n,t in _COLS])
    def columns(self):
        c={"repeats":self.repeats,"trigger":self.trigger,"position":self.position,"time1":self.time1}
        for i,l in enumerate("abcdef"): c[f"out{l}1"]=(self.outputs1>>i&1).astype(bool)
        c["time2"]=self.time2
        for i,l in enumerate("abcdef"): c[f"out{l}2"]=(self.outputs2>>i&1).astype(bool)
        return c
    def words(self):
        w=np.zeros((len(self),4),np.uint32)
        w[:,0]=self.repeats.astype(np.uint32)|self.trigger.astype(np.uint32)<<16|self.outputs1.astype(np.uint32)<<20|self.outputs2.astype(np.uint32)<<26
        w[:,1]=self.position.view(np.uint32); w[:,2]=self.time1; w[:,3]=self.time2
        return w.reshape(-1)
    def line_ticks(self, prescale=1):
        return self.repeats.astype(np.int64)*(self.time1.astype(np.int64)+np.maximum(self.time2.astype(np.int64),1))*max(prescale,1)
