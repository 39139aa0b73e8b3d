-- Records of one trace are packed together: the row named by packed_in holds them all. Older rows keep their body.
ALTER TABLE records ADD COLUMN packed BLOB;
ALTER TABLE records ADD COLUMN packed_in VARCHAR;
